import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Replica, Volume } from '#api/kinds/mod.ts';
import { API_VERSION } from '#api/kinds/mod.ts';
import { HoldfastError } from '#api/mod.ts';
import { createTwin } from '#control/apiserver/twin.testkit.ts';
import type { Host } from '#host/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { encodeText } from '#lib/mod.ts';
import {
  applyObject,
  changeStatus,
  Informer,
  parseManifest,
  parseManifestObjects,
  RestClient,
  setFinalizer,
  type ApiAnswer,
  type ApiCall,
  type ApiTransport,
} from './mod.ts';
import { linesOf } from './rest-watch.ts';

function volume(name: string, change: Partial<Volume['metadata']> = {}): Volume {
  return {
    apiVersion: API_VERSION,
    kind: 'Volume',
    metadata: { name, ...change },
    spec: { size: '1Gi', replicas: 3 },
  };
}

function rejects(promise: Promise<unknown>, code: string): Promise<void> {
  return assert.rejects(promise, (error) => HoldfastError.is(error) && error.code === code);
}

async function withCluster(
  action: (cluster: RestClient, host: Host, forget: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const world = new SimWorld(1);
  const host = world.addNode('a');
  const twin = createTwin(host);
  await world.finish(action(twin.client, host, () => twin.forget()));
}

describe('RestClient', () => {
  test('create gives uid, generation, time and version; a second one is refused', async () => {
    await withCluster(async (cluster) => {
      const created = await cluster.create('Volume', volume('a'));
      assert.match(created.metadata.uid ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/);
      assert.equal(created.metadata.generation, 1);
      assert.ok(Number(created.metadata.resourceVersion) > 0);
      await rejects(cluster.create('Volume', volume('a')), 'already-exists');
    });
  });

  test('update with an old resourceVersion is a conflict', async () => {
    await withCluster(async (cluster) => {
      const first = await cluster.create('Volume', volume('a'));
      await cluster.update('Volume', { ...first, spec: { ...first.spec, replicas: 2 } });
      const late = { ...first, spec: { ...first.spec, replicas: 1 } };
      await rejects(cluster.update('Volume', late), 'conflict');
      await rejects(cluster.updateStatus('Volume', { ...first, status: {} }), 'conflict');
      assert.equal((await cluster.get('Volume', { name: 'a' })).spec.replicas, 2);
    });
  });

  test('The generation counts changes of the spec, not of status and metadata', async () => {
    await withCluster(async (cluster) => {
      const first = await cluster.create('Volume', volume('a'));
      const labelled = await cluster.patch(
        'Volume',
        { name: 'a' },
        { metadata: { labels: { a: 'b' } } },
      );
      assert.equal(labelled.metadata.generation, 1);
      const observed = await cluster.updateStatus('Volume', {
        ...labelled,
        status: { sizeBytes: 1 },
      });
      assert.equal(observed.metadata.generation, 1);
      const changed = await cluster.patch('Volume', { name: 'a' }, { spec: { replicas: 2 } });
      assert.equal(changed.metadata.generation, 2);
      assert.equal(changed.metadata.uid, first.metadata.uid);
      assert.deepEqual(changed.status, { sizeBytes: 1 });
    });
  });

  test('Spec writes do not touch the status, status writes do not touch the spec', async () => {
    await withCluster(async (cluster) => {
      const first = await cluster.create('Volume', { ...volume('a'), status: { sizeBytes: 9 } });
      assert.equal(first.status, undefined);
      const both = { ...first, spec: { ...first.spec, replicas: 1 }, status: { sizeBytes: 5 } };
      const observed = await cluster.updateStatus('Volume', both);
      assert.equal(observed.spec.replicas, 3);
      const changed = await cluster.update('Volume', { ...observed, status: { sizeBytes: 6 } });
      assert.equal(changed.status?.sizeBytes, 5);
    });
  });

  test('A write that changes nothing changes no version and wakes nobody', async () => {
    await withCluster(async (cluster, host) => {
      const first = await cluster.create('Volume', volume('a'));
      let told = 0;
      const { resourceVersion } = await cluster.list('Volume');
      cluster.watch('Volume', resourceVersion, { onEvent: () => (told += 1), onGap: () => {} });
      const same = await cluster.patch('Volume', { name: 'a' }, { spec: { replicas: 3 } });
      await cluster.updateStatus('Volume', same);
      await host.clock.sleep(10);
      assert.equal(same.metadata.resourceVersion, first.metadata.resourceVersion);
      assert.equal(told, 0);
    });
  });

  test('An object with finalizers stays until the last one is removed', async () => {
    await withCluster(async (cluster) => {
      await cluster.create('Volume', volume('a', { finalizers: ['x/one', 'x/two'] }));
      await cluster.delete('Volume', { name: 'a' });
      const going = await cluster.get('Volume', { name: 'a' });
      assert.ok(going.metadata.deletionTimestamp);
      await cluster.delete('Volume', { name: 'a' });
      await setFinalizer(cluster, 'Volume', { name: 'a' }, 'x/one', false);
      await cluster.get('Volume', { name: 'a' });
      await setFinalizer(cluster, 'Volume', { name: 'a' }, 'x/two', false);
      await rejects(cluster.get('Volume', { name: 'a' }), 'not-found');
      const again = await cluster.create('Volume', volume('a'));
      assert.notEqual(again.metadata.uid, going.metadata.uid);
    });
  });

  test('A deletionTimestamp is given by delete alone', async () => {
    await withCluster(async (cluster) => {
      const first = await cluster.create('Volume', volume('a', { deletionTimestamp: 'now' }));
      assert.equal(first.metadata.deletionTimestamp, undefined);
    });
  });

  test('A watch tells what came after its version, in order', async () => {
    await withCluster(async (cluster, host) => {
      await cluster.create('Volume', volume('a'));
      const { resourceVersion } = await cluster.list('Volume');
      await cluster.create('Volume', volume('b'));
      const seen: string[] = [];
      const watch = cluster.watch('Volume', resourceVersion, {
        onEvent: (type, object) => seen.push(`${type} ${object.metadata.name}`),
        onGap: () => seen.push('gap'),
      });
      await cluster.patch('Volume', { name: 'a' }, { spec: { replicas: 1 } });
      await cluster.delete('Volume', { name: 'b' });
      await host.clock.sleep(10);
      assert.deepEqual(seen, ['added b', 'modified a', 'deleted b']);
      watch.stop();
      await cluster.delete('Volume', { name: 'a' });
      await host.clock.sleep(10);
      assert.equal(seen.length, 3);
    });
  });

  test('A watch from before the history is a gap', async () => {
    await withCluster(async (cluster, host, forget) => {
      const { resourceVersion } = await cluster.list('Volume');
      await cluster.create('Volume', volume('a'));
      await forget();
      await cluster.create('Volume', volume('b'));
      let gaps = 0;
      cluster.watch('Volume', resourceVersion, {
        onEvent: () => assert.fail('told in spite of the gap'),
        onGap: () => (gaps += 1),
      });
      await host.clock.sleep(10);
      assert.equal(gaps, 1);
    });
  });

  test('Fields that are decided once cannot be changed, and volumes cannot shrink', async () => {
    await withCluster(async (cluster) => {
      const replica: Replica = {
        apiVersion: API_VERSION,
        kind: 'Replica',
        metadata: { name: 'r' },
        spec: { volumeName: 'v', nodeName: 'n', poolName: 'p', size: '1Gi', segmentSize: '1Mi' },
      };
      await cluster.create('Replica', replica);
      const moved = cluster.patch('Replica', { name: 'r' }, { spec: { poolName: 'q' } });
      await assert.rejects(moved, (error) => {
        assert.ok(HoldfastError.is(error));
        assert.equal(error.details['path'], 'spec.poolName');
        assert.equal(error.details['value'], 'q');
        return true;
      });
      await cluster.create('Volume', volume('a'));
      const shrunk = cluster.patch('Volume', { name: 'a' }, { spec: { size: '512Mi' } });
      await rejects(shrunk, 'invalid-object');
    });
  });

  test('list selects by namespace and labels', async () => {
    await withCluster(async (cluster) => {
      await cluster.create('Volume', volume('a', { labels: { app: 'x' } }));
      await cluster.create('Volume', volume('b', { labels: { app: 'y' } }));
      const { items } = await cluster.list('Volume', { labels: { app: 'y' } });
      assert.deepEqual(
        items.map((item) => item.metadata.name),
        ['b'],
      );
    });
  });

  test('changeStatus repeats itself until nobody was faster', async () => {
    await withCluster(async (cluster) => {
      await cluster.create('Volume', volume('a'));
      const add = () =>
        changeStatus(cluster, 'Volume', { name: 'a' }, (status) => ({
          ...status,
          sizeBytes: (status.sizeBytes ?? 0) + 1,
        }));
      await Promise.all(Array.from({ length: 12 }, add));
      assert.equal((await cluster.get('Volume', { name: 'a' })).status?.sizeBytes, 12);
    });
  });
});

describe('RestClient before a server that misbehaves', () => {
  /** What `behave` answers goes to the client instead of the server's own answer. */
  async function withTransport(
    behave: (call: ApiCall, serve: ApiTransport) => Promise<ApiAnswer>,
    action: (cluster: RestClient, host: Host) => Promise<void>,
  ): Promise<void> {
    const world = new SimWorld(2);
    const host = world.addNode('a');
    const { server } = createTwin(host);
    const serve: ApiTransport = (call) => server.handle(call);
    const transport: ApiTransport = (call) => behave(call, serve);
    await world.finish(action(new RestClient({ ...host, transport, manager: 'test' }), host));
  }

  const busy = (status: number): ApiAnswer => ({
    status,
    headers: { 'retry-after': '1' },
    body: encodeText('{"kind":"Status"}'),
  });

  test('What is not taken now is sent again after the time that the server asks for', async () => {
    const times: number[] = [];
    const answers = [busy(429), busy(503)];
    let clock: Host['clock'] | undefined;
    await withTransport(
      async (call, serve) => {
        times.push(clock?.monotonicMs() ?? 0);
        return answers.shift() ?? serve(call);
      },
      async (cluster, host) => {
        clock = host.clock;
        await cluster.create('Volume', volume('a'));
        assert.equal(times.length, 3);
        assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 1_000);
      },
    );
  });

  test('A server that stays busy is an error with its words, not a wait without end', async () => {
    await withTransport(
      async () => busy(429),
      async (cluster) => rejects(cluster.create('Volume', volume('a')), 'refused'),
    );
  });

  test('A write whose effect is unknown is not sent again', async () => {
    let sent = 0;
    await withTransport(
      async (call, serve) => {
        sent += 1;
        await serve(call);
        throw new HoldfastError('disconnected', 'Peer went away', { effect: 'unknown' });
      },
      async (cluster) => {
        await rejects(cluster.create('Volume', volume('a')), 'disconnected');
        assert.equal(sent, 1);
      },
    );
  });

  test('A watch that breaks in a line goes on from where it was and misses nothing', async () => {
    let streams = 0;
    await withTransport(
      async (call, serve) => {
        const answer = await serve(call);
        if (call.query.get('watch') !== 'true' || answer.body instanceof Uint8Array) return answer;
        streams += 1;
        return { ...answer, body: broken(answer.body) };
      },
      async (cluster, host) => {
        const { resourceVersion } = await cluster.list('Volume');
        const seen: string[] = [];
        const watch = cluster.watch('Volume', resourceVersion, {
          onEvent: (type, object) => seen.push(`${type} ${object.metadata.name}`),
          onGap: () => assert.fail('There is no gap'),
        });
        for (const name of ['a', 'b', 'c', 'd']) {
          await cluster.create('Volume', volume(name));
          await host.clock.sleep(3);
        }
        await host.clock.sleep(60_000);
        watch.stop();
        assert.deepEqual(seen, ['added a', 'added b', 'added c', 'added d']);
        assert.ok(streams >= 4, `${streams} streams`);
      },
    );
  });

  test('An informer that starts before its server fills its cache when that is there', async () => {
    let isAway = true;
    await withTransport(
      async (call, serve) => {
        if (isAway) throw new HoldfastError('refused', 'No API server answers');
        return serve(call);
      },
      async (cluster, host) => {
        const { clock, log } = host;
        const onChange = (): void => {};
        const informer = new Informer({ kind: 'Volume', client: cluster, clock, log, onChange });
        const started = informer.start();
        await clock.sleep(5_000);
        isAway = false;
        await cluster.create('Volume', volume('a'));
        await started;
        assert.equal(informer.all().length, 1);
        informer.stop();
      },
    );
  });

  test('Watches whose server is away come back spread out, not all at once', async () => {
    const asked: number[] = [];
    let clock: Host['clock'] | undefined;
    await withTransport(
      async () => {
        asked.push(clock?.monotonicMs() ?? 0);
        throw new HoldfastError('refused', 'No API server answers');
      },
      async (cluster, host) => {
        clock = host.clock;
        const handler = { onEvent: () => {}, onGap: () => {} };
        const watches = Array.from({ length: 20 }, () => cluster.watch('Volume', '1', handler));
        await host.clock.sleep(60_000);
        for (const watch of watches) watch.stop();
        assert.ok(asked.length < 20 * 15, `${asked.length} tries in a minute`);
        assert.ok(new Set(asked.map((ms) => Math.round(ms))).size > 150);
      },
    );
  });
});

/** One whole line, then half of the next, then the end of the connection. */
async function* broken(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const line of linesOf(chunks)) {
    yield encodeText(`${line}\n${line.slice(0, 40)}`);
    throw new HoldfastError('disconnected', 'Peer went away');
  }
}

describe('Informer', () => {
  test('Informer sees through a gap what changed meanwhile', async () => {
    await withCluster(async (cluster, host, forget) => {
      await cluster.create('Volume', volume('a'));
      await cluster.create('Volume', volume('b'));
      const seen: string[] = [];
      const informer = new Informer({
        kind: 'Volume',
        client: cluster,
        clock: host.clock,
        log: host.log,
        onChange: (key, before, after) =>
          seen.push(`${key} ${before === undefined ? '-' : '+'}${after === undefined ? '-' : '+'}`),
      });
      await informer.start();
      assert.deepEqual(seen.splice(0), ['a -+', 'b -+']);
      await forget();
      await cluster.delete('Volume', { name: 'a' });
      await cluster.patch('Volume', { name: 'b' }, { spec: { replicas: 1 } });
      await cluster.create('Volume', volume('c'));
      await host.clock.sleep(1_000);
      assert.deepEqual(seen.splice(0).sort(), ['a +-', 'b ++', 'c -+']);
      await cluster.delete('Volume', { name: 'c' });
      await host.clock.sleep(10);
      assert.deepEqual(seen, ['c +-']);
      assert.deepEqual(
        informer.all().map((object) => object.metadata.name),
        ['b'],
      );
      informer.stop();
    });
  });
});

describe('Manifests', () => {
  const CLAIM = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: demo }
spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }
`;

  test('Two claims of one name are refused before any is applied', () => {
    assert.throws(
      () => parseManifestObjects(parseManifest(`${CLAIM}---${CLAIM}`)),
      (error) =>
        HoldfastError.is(error) &&
        error.code === 'already-exists' &&
        String(error.details['name']).includes('default/demo'),
    );
  });

  test('What is not YAML is refused with its line', () => {
    assert.throws(
      () => parseManifest('a: 1\nb: [\n'),
      (error) => HoldfastError.is(error) && error.code === 'invalid-object',
    );
  });

  test('applyObject merges and keeps what the controller wrote', async () => {
    await withCluster(async (cluster) => {
      const [object] = parseManifestObjects(parseManifest(CLAIM));
      assert.ok(object !== undefined);
      await cluster.create('StorageClass', {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'StorageClass',
        metadata: {
          name: 'grows',
          annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' },
        },
        provisioner: 'csi.holdfast.dev',
        allowVolumeExpansion: true,
      });
      assert.equal(await applyObject(cluster, object), 'created');
      const key = { namespace: 'default', name: 'demo' };
      await cluster.patch('PersistentVolumeClaim', key, { spec: { volumeName: 'pvc-1' } });
      assert.equal(await applyObject(cluster, object), 'unchanged');
      await changeStatus(cluster, 'PersistentVolumeClaim', key, () => ({
        phase: 'Bound' as const,
      }));
      const [grown] = parseManifestObjects(parseManifest(CLAIM.replace('1Gi', '2Gi')));
      assert.ok(grown !== undefined);
      assert.equal(await applyObject(cluster, grown), 'configured');
      const found = await cluster.get('PersistentVolumeClaim', key);
      assert.equal(found.spec.volumeName, 'pvc-1');
      assert.equal(found.spec.resources.requests.storage, '2Gi');
    });
  });
});

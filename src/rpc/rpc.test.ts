import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, test } from 'node:test';
import { HoldfastError } from '#api/mod.ts';
import { type Checks, shape, text } from '#api/checks/mod.ts';
import type { Handlers } from '#api/mod.ts';
import type { Conn, Host } from '#host/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { SimWorld } from '#host/sim/mod.ts';
import { encodeFrame, FrameDecoder } from './frame.ts';
import { formatAddress, parseAddress, RpcClient, serveRpc } from './mod.ts';
import { RPC_PROTOCOL, RPC_VERSION } from './version.ts';

interface Call<Params, Result> {
  readonly params: Params;
  readonly result: Result;
}

interface TestMethods {
  readonly echo: Call<{ readonly text: string }, { readonly text: string }>;
  readonly fail: Call<Record<string, never>, Record<string, never>>;
  readonly hang: Call<Record<string, never>, Record<string, never>>;
  readonly nested: Call<Record<string, never>, { readonly error: HoldfastError | null }>;
}

const handlers: Handlers<TestMethods> = {
  echo: ({ text }) => Promise.resolve({ text }),
  fail: () =>
    Promise.reject(
      new HoldfastError('in-use', 'Volume is mounted', {
        effect: 'unknown',
        details: { path: '/mnt', remedy: 'Unmount it first' },
      }),
    ),
  hang: () => new Promise(() => {}),
  nested: () => Promise.resolve({ error: new HoldfastError('lost-writes', 'Gone') }),
};

const nothing = shape<Record<string, never>>({});
const checks: Checks<TestMethods> = {
  echo: shape({ text: text(9_000_000) }),
  fail: nothing,
  hang: nothing,
  nested: nothing,
};

const ADDRESS = 'unix:/run/test.sock';

async function withServer(
  action: (host: Host, client: RpcClient<TestMethods>) => Promise<void>,
  options: { readonly connectionsMax?: number; readonly callsMax?: number } = {},
): Promise<void> {
  const world = new SimWorld(1);
  const host = world.addNode('a');
  const { net, clock, log } = host;
  await world.finish(
    (async () => {
      const server = await serveRpc<TestMethods>(net, ADDRESS, handlers, {
        clock,
        log,
        checks,
        ...options,
      });
      const client = new RpcClient<TestMethods>({ net, clock, address: ADDRESS });
      try {
        await action(host, client);
      } finally {
        client.close();
        await server.close();
      }
    })(),
  );
}

function rejects(promise: Promise<unknown>, code: string): Promise<void> {
  return assert.rejects(promise, (error) => HoldfastError.is(error) && error.code === code);
}

describe('RPC', () => {
  test('A call is answered with its own result when many are in flight', async () => {
    await withServer(async (_host, client) => {
      const texts = Array.from({ length: 50 }, (_value, index) => `text ${index}`);
      const answers = await Promise.all(texts.map((text) => client.call('echo', { text })));
      assert.deepEqual(
        answers.map((answer) => answer.text),
        texts,
      );
    });
  });

  test('HoldfastError crosses with code, effect, details and message', async () => {
    await withServer(async (_host, client) => {
      await assert.rejects(client.call('fail', {}), (error) => {
        assert.ok(HoldfastError.is(error));
        assert.equal(error.code, 'in-use');
        assert.equal(error.effect, 'unknown');
        assert.equal(error.message, 'Volume is mounted');
        assert.deepEqual(error.details, { path: '/mnt', remedy: 'Unmount it first' });
        return true;
      });
    });
  });

  test('HoldfastError inside a result is one again on the other side', async () => {
    await withServer(async (_host, client) => {
      const { error } = await client.call('nested', {});
      assert.ok(HoldfastError.is(error));
      assert.equal(error.code, 'lost-writes');
    });
  });

  test('Unknown method is refused as unsupported and the connection lives on', async () => {
    await withServer(async (_host, client) => {
      await rejects(client.call('toString' as 'echo', { text: '' }), 'unsupported');
      assert.equal((await client.call('echo', { text: 'x' })).text, 'x');
    });
  });

  test('A call without answer ends at its deadline with effect unknown', async () => {
    await withServer(async (host, client) => {
      const startMs = host.clock.monotonicMs();
      await assert.rejects(client.call('hang', {}, { timeoutMs: 500 }), (error) => {
        assert.ok(HoldfastError.is(error));
        assert.equal(error.code, 'timed-out');
        assert.equal(error.effect, 'unknown');
        return true;
      });
      assert.ok(host.clock.monotonicMs() - startMs < 1_000);
    });
  });

  test('Cancelling a call ends it as aborted', async () => {
    await withServer(async (host, client) => {
      const controller = new AbortController();
      host.clock.after(100, () => controller.abort());
      await rejects(client.call('hang', {}, { signal: controller.signal }), 'aborted');
    });
  });

  test('Calls beyond the bound are refused, not queued without end', async () => {
    await withServer(
      async (_host, client) => {
        const hanging = [1, 2].map(() => client.call('hang', {}, { timeoutMs: 300 }));
        const refused = rejects(client.call('echo', { text: '' }), 'refused');
        await Promise.all([...hanging.map((call) => rejects(call, 'timed-out')), refused]);
      },
      { callsMax: 2 },
    );
  });

  test('Connections beyond the bound are closed', async () => {
    await withServer(
      async (host, client) => {
        await client.call('echo', { text: '' });
        const { net, clock } = host;
        const second = new RpcClient<TestMethods>({ net, clock, address: ADDRESS });
        await rejects(second.call('echo', { text: '' }), 'disconnected');
        second.close();
      },
      { connectionsMax: 1 },
    );
  });

  test('An idle client leaves its connection to others, and connects again', async () => {
    await withServer(
      async ({ net, clock }) => {
        const after = (ms: number): Promise<void> =>
          new Promise((resolve) => clock.after(ms, resolve));
        const options = { net, clock, address: ADDRESS };
        const first = new RpcClient<TestMethods>({ ...options, idleMs: 1_000 });
        const second = new RpcClient<TestMethods>({ ...options, idleMs: 1_000 });
        await first.call('echo', { text: 'a' });
        await after(500);
        await first.call('echo', { text: 'b' });
        await after(900);
        await rejects(second.call('echo', { text: 'c' }), 'disconnected');
        await after(200);
        assert.equal((await second.call('echo', { text: 'd' })).text, 'd');
        await after(1_100);
        const hanging = rejects(first.call('hang', {}, { timeoutMs: 5_000 }), 'timed-out');
        await after(3_000);
        await rejects(second.call('echo', { text: 'e' }), 'disconnected');
        await hanging;
        await after(1_100);
        assert.equal((await second.call('echo', { text: 'f' })).text, 'f');
        first.close();
        second.close();
      },
      { connectionsMax: 1 },
    );
  });

  test('A client connects again after the server was replaced', async () => {
    const world = new SimWorld(2);
    const { net, clock, log } = world.addNode('a');
    await world.finish(
      (async () => {
        const options = { clock, log, checks };
        const first = await serveRpc<TestMethods>(net, ADDRESS, handlers, options);
        const client = new RpcClient<TestMethods>({ net, clock, address: ADDRESS });
        await client.call('echo', { text: 'a' });
        const hanging = rejects(client.call('hang', {}), 'disconnected');
        await first.close();
        await hanging;
        await rejects(client.call('echo', { text: 'b' }), 'refused');
        const second = await serveRpc<TestMethods>(net, ADDRESS, handlers, options);
        assert.equal((await client.call('echo', { text: 'c' })).text, 'c');
        client.close();
        await second.close();
      })(),
    );
  });

  for (const [title, bytes] of [
    ['garbage', new Uint8Array(64).fill(0xff)],
    ['an oversized length', new Uint8Array([0x7f, 0xff, 0xff, 0xff])],
    ['an empty frame', new Uint8Array([0, 0, 0, 0])],
    ['a frame that is not JSON', new Uint8Array([0, 0, 0, 2, 0x7b, 0x7b])],
    ['a call before the hello', Buffer.concat(encodeFrame({ id: 1, method: 'echo' }))],
    ['a hello of 8 MiB', Buffer.concat(encodeFrame({ hello: 'x'.repeat(8_000_000) }))],
    ['a hello nested 100,000 deep', frameOf(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)],
    ['another version', Buffer.concat(encodeFrame({ hello: 'holdfast-rpc', version: 99 }))],
  ] as const) {
    test(`The server closes a connection that sends ${title}`, async () => {
      await withServer(async (host, client) => {
        const conn = await host.net.connect(parseAddress(ADDRESS), { timeoutMs: 1_000 });
        const closed = waitForClose(conn);
        conn.write([bytes]);
        await closed;
        assert.equal((await client.call('echo', { text: 'others go on' })).text, 'others go on');
      });
    });
  }

  for (const [title, method, params, details] of [
    ['no parameters', 'echo', null, { field: '(params)', value: 'null' }],
    ['a list of parameters', 'echo', ['text'], { field: '(params)', value: 'a list of 1' }],
    ['a field that is absent', 'echo', {}, { field: 'text', value: 'absent' }],
    ['a number for a text', 'echo', { text: 7 }, { field: 'text', value: '7' }],
    [
      'an object for a text',
      'echo',
      { text: { length: 1 } },
      { field: 'text', value: 'an object' },
    ],
    ['a NUL in a text', 'echo', { text: 'a\0b' }, { field: 'text', value: 'a\0b' }],
    ['an unknown field', 'echo', { text: '', to: 1 }, { field: 'to', value: '1' }],
    ['a prototype', 'fail', JSON.parse('{"__proto__":1}'), { field: '__proto__', value: '1' }],
  ] as const) {
    test(`A call with ${title} is refused by name, and the server goes on`, async () => {
      await withServer(async (_host, client) => {
        const call = client.call(method as 'echo', params as { text: string });
        await assert.rejects(call, (error) => {
          assert.ok(HoldfastError.is(error));
          assert.equal(error.code, 'invalid-argument');
          const { remedy, ...facts } = error.details;
          assert.deepEqual(facts, details);
          assert.match(String(remedy), /^(Use|Remove) /);
          return true;
        });
        assert.equal((await client.call('echo', { text: 'x' })).text, 'x');
      });
    });
  }

  test('Parameters nested 100,000 deep end their connection and nothing else', async () => {
    await withServer(async (host, client) => {
      const conn = await host.net.connect(parseAddress(ADDRESS), { timeoutMs: 1_000 });
      const closed = waitForClose(conn);
      conn.write(encodeFrame({ hello: RPC_PROTOCOL, version: RPC_VERSION }));
      const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
      conn.write([frameOf(`{"id":1,"method":"echo","params":${deep}}`)]);
      await closed;
      assert.equal((await client.call('echo', { text: 'x' })).text, 'x');
    });
  });

  test('A client that fetches no answers is not read from', async () => {
    const host = createNodeHost({ logLevel: 'silent' });
    const directory = mkdtempSync(`${tmpdir()}/hf-rpc-`);
    const address = `unix:${directory}/s`;
    let calls = 0;
    const server = await serveRpc<TestMethods>(
      host.net,
      address,
      {
        ...handlers,
        echo: ({ text: got }) => {
          calls += 1;
          return Promise.resolve({ text: got });
        },
      },
      { clock: host.clock, log: host.log, checks },
    );
    const conn = await host.net.connect(parseAddress(address), { timeoutMs: 1_000 });
    try {
      conn.start({ onBytes: () => {}, onClose: () => {} });
      conn.pause();
      conn.write(encodeFrame({ hello: RPC_PROTOCOL, version: RPC_VERSION }));
      const call = Buffer.concat(
        encodeFrame({ id: 1, method: 'echo', params: { text: 'x'.repeat(500_000) } }),
      );
      for (let n = 0; n < 100; n += 1) conn.write([call]);
      for (let before = -1; before !== calls; ) {
        before = calls;
        await host.clock.sleep(200);
      }
      assert.ok(calls < 40, `${calls} of 100 calls of 0.5 MB answered to nobody`);
      conn.resume();
      while (calls < 100) await host.clock.sleep(10);
    } finally {
      conn.close();
      await server.close();
      rmSync(directory, { recursive: true });
    }
  });

  test('A socket in use is refused with its address and a remedy, and serves on', async () => {
    await withServer(async (host, client) => {
      const { net, clock, log } = host;
      const second = serveRpc<TestMethods>(net, ADDRESS, handlers, { clock, log, checks });
      await assert.rejects(second, (error) => {
        assert.ok(HoldfastError.is(error));
        assert.equal(error.code, 'address-in-use');
        return true;
      });
      assert.equal((await client.call('echo', { text: 'x' })).text, 'x');
    });
  });

  test('A connection that says nothing is closed', async () => {
    await withServer(async (host) => {
      const conn = await host.net.connect(parseAddress(ADDRESS), { timeoutMs: 1_000 });
      await waitForClose(conn);
    });
  });
});

/** A frame of this very text. */
function frameOf(body: string): Uint8Array {
  const bytes = Buffer.alloc(4 + body.length, body, 'latin1');
  bytes.copyWithin(4, 0);
  bytes.writeUInt32BE(body.length);
  return bytes;
}

function waitForClose(conn: Conn): Promise<void> {
  return new Promise((resolve) => {
    conn.start({ onBytes: () => {}, onClose: () => resolve() });
  });
}

describe('FrameDecoder', () => {
  test('FrameDecoder gives the same frames fed one byte at a time and all at once', () => {
    const values = [{ a: 1 }, ['b'], 'c', { d: 'e'.repeat(70_000) }];
    const bytes = Buffer.concat(values.flatMap((value) => encodeFrame(value)));
    for (const step of [1, bytes.byteLength]) {
      const decoder = new FrameDecoder();
      const got: unknown[] = [];
      for (let at = 0; at < bytes.byteLength; at += step) {
        decoder.push(bytes.subarray(at, at + step), (value) => got.push(value));
      }
      assert.deepEqual(got, values);
    }
  });

  test('FrameDecoder keeps what came of a frame, not what its header announces', () => {
    const decoder = new FrameDecoder();
    const before = process.memoryUsage().arrayBuffers;
    const refuse = (): void => assert.fail('no frame is whole');
    decoder.push(new Uint8Array([0, 0x7f, 0xff, 0xff]), refuse);
    for (let n = 0; n < 2_000; n += 1) decoder.push(new Uint8Array([0x20]), refuse);
    const after = process.memoryUsage().arrayBuffers;
    assert.ok(after - before < 1_000_000, `${after - before} bytes`);
  });

  test('A value beyond the size of a frame is refused before it is sent', () => {
    assert.throws(
      () => encodeFrame('x'.repeat(9 * 1024 * 1024)),
      (error) => HoldfastError.is(error) && error.code === 'out-of-range',
    );
  });
});

describe('Address', () => {
  test('Address text is read and written back', () => {
    for (const text of ['unix:/run/a.sock', 'tcp:127.0.0.1:9000', 'tcp:[::1]:9000']) {
      assert.equal(formatAddress(parseAddress(text)), text);
    }
  });

  test('Malformed addresses are refused with field, value and remedy', () => {
    for (const text of ['', 'unix:run', 'tcp:host', 'tcp:host:99999', 'http://x']) {
      assert.throws(
        () => parseAddress(text),
        (error) => HoldfastError.is(error) && error.code === 'invalid-argument',
      );
    }
  });
});

/** What a killed engine left of a FUSE session is found and ended by its image's name alone. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { MemoryDevice } from '#data/block/mod.ts';
import { FuseFrontend } from '#data/frontend/mod.ts';
import { createNodeHost, NodeFuseMounts } from '#host/node/mod.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const SIZE_BYTES = 16 * 1024 * 1024;

const isMounted = (path: string): boolean =>
  readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `);

test('a session that nobody noted and nobody serves is ended', { skip }, async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/hf-left-`);
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const host = createNodeHost({ logLevel: 'silent' });
  const mounts = new NodeFuseMounts(host.exec);
  const imageFile = `${directory}/left.img`;
  const session = {
    mounts,
    disk: host.disk,
    log: host.log,
    imageFile,
    stateFile: `${directory}/left.json`,
    openDevice: () => new MemoryDevice({ sizeBytes: SIZE_BYTES }),
    epoch: 1,
  };
  const frontend = await FuseFrontend.start(session);
  // As after kill -9 of the engine, before it noted what it made: the holder keeps the session.
  frontend.abandon();
  const { holderPid } = JSON.parse(readFileSync(session.stateFile, 'utf8')) as {
    holderPid: number;
  };
  rmSync(session.stateFile);
  assert.equal((await mounts.findLoops(imageFile)).length, 1);
  assert.ok(isMounted(imageFile));
  assert.ok(existsSync(`/proc/${holderPid}`));

  await mounts.clearUnknown(`${directory}/another.img`);
  assert.ok(isMounted(imageFile), 'only what lies on the image that was named');

  await FuseFrontend.clear(session);
  assert.equal(isMounted(imageFile), false);
  assert.deepEqual(await mounts.findLoops(imageFile), []);
  assert.equal(readState(holderPid), 'gone');
});

/** A killed holder may be a zombie for a moment where nobody reaps. */
function readState(pid: number): string {
  try {
    const text = execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
    return text.trim().startsWith('Z') ? 'gone' : text.trim();
  } catch {
    return 'gone';
  }
}

/** Filesystems grow with their device: xfs online, ext4 at the latest with the next mount. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { test, type TestContext } from 'node:test';
import { readMkfsOptions } from '#api/kinds/mod.ts';
import { hasCode, type VolumeId } from '#api/mod.ts';
import { VolumeMounts } from '#control/mounts/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';

const MIB = 1024 * 1024;
const skip = process.getuid?.() === 0 ? false : 'needs root';
const volume = 'vol-1' as VolumeId;

interface Place {
  readonly device: string;
  readonly path: string;
  readonly mounts: VolumeMounts;
  readonly openAgain: () => Promise<VolumeMounts>;
  readonly resize: (sizeBytes: number) => void;
  readonly mount: (fsType: 'ext4' | 'xfs', mayFormat: boolean) => Promise<unknown>;
}

async function makePlace(t: TestContext, sizeBytes: number): Promise<Place> {
  const directory = mkdtempSync(`${tmpdir()}/hf-expand-`);
  const image = `${directory}/image`;
  const path = `${directory}/mnt`;
  writeFileSync(image, '');
  truncateSync(image, sizeBytes);
  const device = execFileSync('losetup', ['-f', '--show', image], { encoding: 'utf8' }).trim();
  const host = createNodeHost({ logLevel: 'silent' });
  const stateFile = `${directory}/mounts.json`;
  const mounts = await VolumeMounts.open(host.disk, host.exec, stateFile);
  t.after(async () => {
    await mounts.unmount(volume, path);
    execFileSync('losetup', ['-d', device]);
    rmSync(directory, { recursive: true });
  });
  return {
    device,
    path,
    mounts,
    openAgain: () => VolumeMounts.open(host.disk, host.exec, stateFile),
    resize: (size) => {
      truncateSync(image, size);
      execFileSync('losetup', ['-c', device]);
    },
    mount: (fsType, mayFormat) =>
      mounts.mount({ volume, device, path, fsType, mayFormat, readOnly: false }),
  };
}

function bytesOf(path: string): number {
  const { blocks, bsize } = statfsSync(path);
  return blocks * bsize;
}

test('ext4 on a device that has grown is grown when it is mounted again', { skip }, async (t) => {
  const place = await makePlace(t, 64 * MIB);
  await place.mount('ext4', true);
  writeFileSync(`${place.path}/kept`, 'kept');
  const before = bytesOf(place.path);
  place.resize(256 * MIB);
  assert.equal(bytesOf(place.path), before, 'it does not grow by itself');
  try {
    await place.mounts.expand(place.path);
  } catch (error) {
    // Without CAP_SYS_RESOURCE.
    assert.ok(hasCode(error, 'permission-denied'), String(error));
    assert.equal(bytesOf(place.path), before);
  }
  await place.mounts.unmount(volume, place.path);
  await place.mount('ext4', false);
  assert.ok(bytesOf(place.path) > 3.5 * before, `${bytesOf(place.path)} bytes, before ${before}`);
  assert.equal(readFileSync(`${place.path}/kept`, 'utf8'), 'kept');
  // What is as large as its device is left alone, also where resize2fs would be refused.
  await place.mounts.expand(place.path);
});

test('ext4 that is as large as its device is not grown', { skip }, async (t) => {
  const place = await makePlace(t, 64 * MIB);
  await place.mount('ext4', true);
  const before = bytesOf(place.path);
  await place.mounts.expand(place.path);
  await place.mounts.unmount(volume, place.path);
  await place.mount('ext4', false);
  assert.equal(bytesOf(place.path), before);
});

test('xfs grows while it is mounted', { skip }, async (t) => {
  const place = await makePlace(t, 320 * MIB);
  await place.mount('xfs', true);
  writeFileSync(`${place.path}/kept`, 'kept');
  const before = bytesOf(place.path);
  place.resize(640 * MIB);
  assert.equal(bytesOf(place.path), before, 'it does not grow by itself');
  await place.mounts.expand(place.path);
  assert.ok(bytesOf(place.path) > 1.8 * before, `${bytesOf(place.path)} bytes, before ${before}`);
  assert.equal(readFileSync(`${place.path}/kept`, 'utf8'), 'kept');
});

test('Who starts again knows what is mounted, and nothing that is not', { skip }, async (t) => {
  const place = await makePlace(t, 64 * MIB);
  await place.mount('ext4', true);
  const [report] = place.mounts.list();
  assert.deepEqual((await place.openAgain()).list(), [report]);
  // Behind our back.
  execFileSync('umount', [place.path]);
  assert.deepEqual((await place.openAgain()).list(), []);
  await place.mount('ext4', false);
  const again = await place.openAgain();
  await again.unmount(volume, place.path);
  assert.deepEqual((await place.openAgain()).list(), []);
});

test('mkfs.ext4 is told what the class says', { skip }, async (t) => {
  const place = await makePlace(t, 512 * MIB);
  await formatWith(place, 'ext4', '-m 0 -i 65536 -E stride=16 -O ^resize_inode');
  const said = execFileSync('dumpe2fs', ['-h', place.device], { encoding: 'utf8', stdio: 'pipe' });
  assert.match(said, /Inode count: +8192/);
  assert.match(said, /RAID stride: +16/);
  assert.match(said, /Reserved block count: +0/);
  assert.doesNotMatch(said, /resize_inode/);
});

test('mkfs.xfs is told what the class says', { skip }, async (t) => {
  const place = await makePlace(t, 512 * MIB);
  await formatWith(place, 'xfs', '-i size=1024 -m reflink=0');
  // xfs_info asks every loop device of the machine, and waits for one whose server is gone.
  const superblock = Buffer.alloc(512);
  const file = openSync(place.device, 'r');
  readSync(file, superblock);
  closeSync(file);
  assert.equal(superblock.toString('latin1', 0, 4), 'XFSB');
  assert.equal(superblock.readUInt16BE(104), 1024);
});

async function formatWith(place: Place, fsType: 'ext4' | 'xfs', text: string): Promise<void> {
  const asked = readMkfsOptions(fsType, text);
  assert.ok(asked.ok);
  const { device, path, mounts } = place;
  const params = { volume, device, path, fsType, mayFormat: true, readOnly: false };
  await mounts.mount({ ...params, mkfsOptions: asked.options });
}

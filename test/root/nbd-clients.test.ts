/**
 * Other people's NBD clients against NbdServer, over a MemoryDevice of 4 KiB blocks behind an
 * AlignDevice. Needs nbdkit, libnbd-bin, python3-libnbd, qemu-utils and fio.
 */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AlignDevice, MemoryDevice } from '#data/block/mod.ts';
import { NbdServer } from '#data/frontend/mod.ts';
import { createNodeHost } from '#host/node/mod.ts';
import {
  checkBlkverify,
  checkMap,
  checkRoundTrip,
  checkZeroAndDiscard,
  missingPrograms,
  type NbdExportPlace,
  run,
} from './nbd-programs.testkit.ts';

const MIB = 1024 * 1024;
const SIZE_BYTES = 256 * MIB;
const PYTHON = '/usr/bin/python3';

const skip = missingPrograms([
  'nbdkit',
  'nbdinfo',
  'nbdcopy',
  'qemu-img',
  'qemu-io',
  'fio',
  'python3',
]);

let directory = '';
let server: NbdServer;

function place(): NbdExportPlace {
  return { socket: `${directory}/nbd.sock`, name: 'demo', sizeBytes: SIZE_BYTES, directory };
}

function uri(name = 'demo'): string {
  return `nbd+unix:///${name}?socket=${directory}/nbd.sock`;
}

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'holdfast-nbd-'));
  const memory = new MemoryDevice({ sizeBytes: SIZE_BYTES, minBytes: 4096 });
  const device = new AlignDevice(memory);
  const readOnly = new MemoryDevice({ sizeBytes: MIB, readOnly: true });
  server = await NbdServer.start(createNodeHost({ logLevel: 'silent' }), {
    address: { kind: 'unix', path: path.join(directory, 'nbd.sock') },
    exports: () => [
      { name: 'demo', description: 'default/demo', device },
      { name: 'fixed', description: 'read-only', device: readOnly },
    ],
  });
});

after(async () => {
  await server.stop();
  await rm(directory, { recursive: true });
});

test('nbdinfo sees every feature that is promised', { skip }, async () => {
  const { stdout } = await run('nbdinfo', ['--json', uri()]);
  const info = JSON.parse(stdout) as { structured: boolean; exports: Record<string, unknown>[] };
  assert.equal(info.structured, true);
  const [found = {}] = info.exports;
  const promised = {
    'export-name': 'demo',
    description: 'default/demo',
    'export-size': SIZE_BYTES,
    contexts: ['base:allocation'],
    is_read_only: false,
    can_df: true,
    can_fast_zero: true,
    can_flush: true,
    can_fua: true,
    can_multi_conn: true,
    can_trim: true,
    can_zero: true,
    block_size_minimum: 512,
    block_size_preferred: 4096,
    block_size_maximum: 32 * MIB,
  };
  for (const [key, value] of Object.entries(promised)) assert.deepEqual(found[key], value, key);
  const list = await run('nbdinfo', ['--list', '--json', uri('')]);
  assert.deepEqual(
    (JSON.parse(list.stdout) as typeof info).exports.map((each) => each['export-name']),
    ['demo', 'fixed'],
  );
  const fixed = await run('nbdinfo', ['--json', uri('fixed')]);
  assert.equal((JSON.parse(fixed.stdout) as typeof info).exports[0]?.['is_read_only'], true);
  await assert.rejects(run('nbdinfo', [uri('nobody')]));
});

test('nbdinfo --map tells data from holes', { skip }, () => checkMap(place()));

test('nbdcopy and qemu-img carry an image there and back', { skip }, () =>
  checkRoundTrip(place(), 20_000),
);

test('qemu-io under blkverify finds no difference', { skip }, () => checkBlkverify(place(), 5_000));

test('qemu-io zeroes and discards as a model does', { skip }, () =>
  checkZeroAndDiscard(place(), 2_000),
);

test('fio verifies what it wrote', { skip }, async () => {
  const argv = [
    '--name=verify',
    '--ioengine=nbd',
    `--uri=${uri()}`,
    '--rw=randrw',
    '--bsrange=512-64k',
    '--bs_unaligned=0',
    '--blockalign=512',
    '--iodepth=32',
    '--size=64m',
    '--verify=crc32c',
    '--verify_backlog=1024',
    '--verify_fatal=1',
    '--serialize_overlap=1',
    '--do_verify=1',
    '--runtime=10',
    '--time_based',
  ];
  const { stdout } = await run('fio', argv, { cwd: directory });
  assert.match(stdout, /err= 0/);
});

/** Requests that a server must refuse, and what came of each; strict mode is off. */
const NEGATIVE = `
import nbd, sys, json, socket, struct
sock, S = sys.argv[1], 256 << 20
out = {}
def op(name, fn):
    h = nbd.NBD(); h.set_strict_mode(0); h.add_meta_context("base:allocation")
    h.set_export_name(sys.argv[2]); h.connect_unix(sock)
    try: fn(h); answer = "ok"
    except nbd.Error as e: answer = e.errno or "error"
    try: h.pread(512, 0); alive = True
    except nbd.Error: alive = False
    out[name] = [answer, alive]
    try: h.shutdown()
    except nbd.Error: pass
x = b"x" * 512
NH, FUA, DF, ONE, FAST = nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FUA, nbd.CMD_FLAG_DF, nbd.CMD_FLAG_REQ_ONE, nbd.CMD_FLAG_FAST_ZERO
for name, at, n in (("beyond", S, 512), ("across", S - 512, 1024), ("huge", (1 << 63) - 512, 512), ("empty", 0, 0)):
    op("read " + name, lambda h: h.pread(n, at))
    op("write " + name, lambda h: h.pwrite(b"x" * n, at))
    op("zero " + name, lambda h: h.zero(n, at))
    op("trim " + name, lambda h: h.trim(n, at))
    op("status " + name, lambda h: h.block_status(n, at, lambda *a: 0))
for name, flags in (("bad flag", 1 << 14), ("no hole", NH), ("fua", FUA), ("df", DF), ("one", ONE), ("fast", FAST)):
    op("read " + name, lambda h: h.pread(512, 0, flags=flags))
    op("write " + name, lambda h: h.pwrite(x, 0, flags=flags))
    op("zero " + name, lambda h: h.zero(512, 0, flags=flags))
    op("trim " + name, lambda h: h.trim(512, 0, flags=flags))
    op("flush " + name, lambda h: h.flush(flags=flags))
    op("status " + name, lambda h: h.block_status(512, 0, lambda *a: 0, flags=flags))
op("read by the byte", lambda h: h.pread(7, 13))
op("write by the byte", lambda h: h.pwrite(b"abc", 13))
for m in (32, 33, 64, 65):
    op("read %d MiB" % m, lambda h: h.pread(m << 20, 0))
    op("write %d MiB" % m, lambda h: h.pwrite(bytes(m << 20), 0))
def raw(name, structured, cmd, flags, at, n, payload=b""):
    s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sock)
    f = s.makefile("rb"); f.read(18); s.sendall(struct.pack(">I", 3))
    def opt(o, d=b""):
        s.sendall(b"IHAVEOPT" + struct.pack(">II", o, len(d)) + d)
        while True:
            t, l = struct.unpack(">12xII", f.read(20)); f.read(l)
            if t == 1 or t & 0x80000000: return t
    if structured: opt(8)
    e = sys.argv[2].encode()
    opt(7, struct.pack(">I", len(e)) + e + b"\\0\\0")
    name = ("structured " if structured else "simple ") + name
    try:
        s.sendall(struct.pack(">IHHQQI", 0x25609513, flags, cmd, 77, at, n) + payload)
        head = f.read(4)
        if len(head) < 4: out[name] = "closed"
        elif head == b"gDf\\x98": out[name] = ["simple", struct.unpack(">IQ", f.read(12))[0]]
        else:
            t, l = struct.unpack(">2xH8xI", f.read(16)); d = f.read(l)
            out[name] = ["chunk", t, struct.unpack(">I", d[:4])[0] if t & 0x8000 else 0]
    except (ConnectionError, BrokenPipeError): out[name] = "closed"
    s.close()
for structured in (True, False):
    raw("unknown command", structured, 99, 0, 0, 512)
    raw("read of 65 MiB", structured, 0, 0, 0, 65 << 20)
    raw("read of 4 GiB", structured, 0, 0, 0, 0xffffffff)
    raw("write of 65 MiB", structured, 1, 0, 0, 65 << 20, bytes(65 << 20))
    raw("write of 4 GiB", structured, 1, 0, 0, 0xffffffff, bytes(1000))
    raw("flush with offset", structured, 3, 0, 512, 0)
    raw("flush with length", structured, 3, 0, 0, 512)
    raw("status without context", structured, 7, 0, 0, 512)
    raw("read df", structured, 0, 4, 0, 512)
    raw("read bad flag", structured, 0, 1 << 14, 0, 512)
    raw("read beyond", structured, 0, 0, S, 512)
print(json.dumps(out))
`;

test('NbdServer refuses with the error numbers of nbdkit', { skip }, async () => {
  const script = path.join(directory, 'negative.py');
  await writeFile(script, NEGATIVE);
  const socket = path.join(directory, 'nbdkit.sock');
  const nbdkit = spawn('nbdkit', ['-f', '-U', socket, 'memory', String(SIZE_BYTES)]);
  try {
    while (!existsSync(socket)) await new Promise((resolve) => setTimeout(resolve, 20));
    const [theirs, ours] = await Promise.all([
      run(PYTHON, [script, socket, '']),
      run(PYTHON, [script, path.join(directory, 'nbd.sock'), 'demo']),
    ]);
    const expected = JSON.parse(theirs.stdout) as Record<string, unknown>;
    assert.ok(Object.keys(expected).length > 80);
    assert.deepEqual(JSON.parse(ours.stdout), expected);
  } finally {
    nbdkit.kill();
  }
});

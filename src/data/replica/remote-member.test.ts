import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { describeMember } from '#data/member/member.testkit.ts';
import { createNodeHost } from '#host/node/mod.ts';
import { openNodeWorld, openSimWorld } from './member-world.testkit.ts';

const host = createNodeHost({ logLevel: 'fatal' });
const directory = mkdtempSync(join(tmpdir(), 'holdfast-peer-'));
after(() => rmSync(directory, { recursive: true }));

let sockets = 0;
describeMember('RemoteMember over a simulated net', () => openSimWorld());
describeMember('RemoteMember over a unix socket', () => {
  sockets += 1;
  return openNodeWorld(host, { kind: 'unix', path: join(directory, `${sockets}.sock`) });
});
describeMember('RemoteMember over TCP on loopback', () =>
  openNodeWorld(host, { kind: 'tcp', host: '127.0.0.1', port: 0 }),
);

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { concatBytes, encodeText, formatHex } from '#lib/mod.ts';
import { NbdClientHandshake } from './client-handshake.ts';
import {
  NBD_OPT_ABORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_LIST,
  NBD_OPT_LIST_META_CONTEXT,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STRUCTURED_REPLY,
} from './constants.ts';
import {
  type NbdExportOffer,
  type NbdHandshakeEvent,
  NbdServerHandshake,
} from './server-handshake.ts';

const offer: NbdExportOffer = {
  name: 'demo',
  description: 'default/demo',
  sizeBytes: 2 ** 40 + 512,
  flags: 0x16d,
  minBytes: 512,
  preferredBytes: 4096,
  maxBytes: 32 * 1024 * 1024,
};
const source = {
  list: () => [offer],
  find: (name: string) => (name === 'demo' ? offer : undefined),
};

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

function option(number: number, data: Uint8Array = new Uint8Array()): Uint8Array {
  return concatBytes([encodeText('IHAVEOPT'), u32(number), u32(data.byteLength), data]);
}

function metaContext(number: number, name: string, queries: readonly string[]): Uint8Array {
  const parts = [u32(name.length), encodeText(name), u32(queries.length)];
  for (const query of queries) parts.push(u32(query.length), encodeText(query));
  return option(number, concatBytes(parts));
}

function sentBy(...parts: readonly Uint8Array[]): string[] {
  const handshake = new NbdServerHandshake(source);
  return handshake
    .push(concatBytes(parts))
    .map((event) => (event.kind === 'send' ? formatHex(event.bytes) : event.kind));
}

/** Type and data of an option reply. */
function reply(number: number, type: string, data = ''): string {
  const header = `0003e889045565a9${formatHex(u32(number))}${type}`;
  return header + formatHex(u32(data.length / 2)) + data;
}

const flags = u32(3);

test('NbdServerHandshake greets with fixed newstyle and no zeroes', () => {
  const greeting = formatHex(new NbdServerHandshake(source).greeting());
  assert.equal(greeting, '4e42444d4147494349484156454f50540003');
});

test('NbdServerHandshake answers NBD_OPT_EXPORT_NAME, with zeroes unless told not to', () => {
  const name = option(NBD_OPT_EXPORT_NAME, encodeText('demo'));
  assert.deepEqual(sentBy(flags, name), ['0000010000000200016d', 'transmission']);
  const withZeroes = `0000010000000200016d${'00'.repeat(124)}`;
  assert.deepEqual(sentBy(u32(1), name), [withZeroes, 'transmission']);
  const unknown = option(NBD_OPT_EXPORT_NAME, encodeText('nobody'));
  assert.deepEqual(sentBy(flags, unknown), ['violation']);
});

test('NbdServerHandshake lists exports with their descriptions', () => {
  const data = formatHex(concatBytes([u32(4), encodeText('demodefault/demo')]));
  const expected = [reply(3, '00000002', data), reply(3, '00000001')];
  assert.deepEqual(sentBy(flags, option(NBD_OPT_LIST)), expected);
});

test('NbdServerHandshake refuses unknown options and goes on', () => {
  const sent = sentBy(flags, option(77, new Uint8Array(9)), option(NBD_OPT_ABORT));
  assert.match(sent[0] ?? '', /^0003e889045565a90000004d80000001/);
  assert.deepEqual(sent.slice(1), [reply(2, '00000001'), 'ended']);
});

test('NbdServerHandshake selects base:allocation only after structured replies', () => {
  const select = metaContext(NBD_OPT_SET_META_CONTEXT, 'demo', ['base:allocation']);
  assert.match(sentBy(flags, select)[0] ?? '', /^0003e889045565a90000000a80000003/);
  const selected = sentBy(flags, option(NBD_OPT_STRUCTURED_REPLY), select);
  const context = formatHex(concatBytes([u32(1), encodeText('base:allocation')]));
  assert.deepEqual(selected.slice(1), [reply(10, '00000004', context), reply(10, '00000001')]);
});

test('NbdServerHandshake lists contexts for no query, for base: and for the whole name', () => {
  for (const queries of [[], ['base:'], ['qemu:x', 'base:allocation']]) {
    const list = metaContext(NBD_OPT_LIST_META_CONTEXT, 'demo', queries);
    const sent = sentBy(flags, option(NBD_OPT_STRUCTURED_REPLY), list);
    assert.equal(sent.length, 3, queries.join());
  }
  const none = metaContext(NBD_OPT_LIST_META_CONTEXT, 'demo', ['qemu:x']);
  assert.equal(sentBy(flags, option(NBD_OPT_STRUCTURED_REPLY), none).length, 2);
});

test('NbdServerHandshake refuses malformed options', () => {
  const bad = [option(7, u32(0xffffffff)), option(7, new Uint8Array(3)), option(6, u32(1))];
  for (const bytes of bad) {
    assert.match(sentBy(flags, bytes)[0] ?? '', /^0003e889045565a90000000[67]80000003/);
  }
  const endless = Array.from({ length: 2000 }, () => option(77));
  assert.equal(sentBy(flags, ...endless).at(-1), 'violation');
});

test('NbdServerHandshake and NbdClientHandshake agree, one byte at a time', () => {
  const server = new NbdServerHandshake(source);
  const client = new NbdClientHandshake('demo');
  const serverEvents: NbdHandshakeEvent[] = [];
  let toClient: Uint8Array = server.greeting();
  while (toClient.byteLength > 0) {
    const toServer: Uint8Array[] = [];
    for (const byte of toClient) {
      for (const event of client.push(Uint8Array.of(byte))) {
        if (event.kind === 'send') toServer.push(event.bytes);
        else if (event.kind === 'transmission') {
          const { terms } = event;
          assert.equal(terms.sizeBytes, offer.sizeBytes);
          assert.equal(terms.flags, offer.flags | (1 << 7));
          assert.equal(terms.contextId, 1);
          assert.deepEqual(terms.blockSize, {
            minBytes: 512,
            preferredBytes: 4096,
            maxBytes: 32 * 1024 * 1024,
          });
        } else assert.fail(event.kind);
      }
    }
    const back: Uint8Array[] = [];
    for (const byte of concatBytes(toServer)) {
      for (const event of server.push(Uint8Array.of(byte))) {
        serverEvents.push(event);
        if (event.kind === 'send') back.push(event.bytes);
      }
    }
    toClient = concatBytes(back);
  }
  const last = serverEvents.at(-1);
  assert.ok(last?.kind === 'transmission' && last.structuredReplies && last.baseAllocation);
});

test('NbdClientHandshake tells an unknown export from a broken server', () => {
  const client = new NbdClientHandshake('nobody');
  client.push(new NbdServerHandshake(source).greeting());
  assert.equal(client.push(new Uint8Array(20))[0]?.kind, 'violation');
});

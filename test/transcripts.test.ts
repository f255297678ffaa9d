/** The parts that compare documents with real runs, on documents and output made up here. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  compareTranscript,
  formatDifference,
  rewriteDocument,
} from './transcripts/compare-transcript.ts';
import { parseBlocks } from './transcripts/document-blocks.ts';
import { maskLine } from './transcripts/mask-output.ts';
import { parseTranscripts, type Transcript } from './transcripts/transcript-steps.ts';

const PAGE = `# A page

<!-- file: db.yaml; of: first -->
\`\`\`yaml
kind: Claim
\`\`\`

Some prose.

<!-- transcript: first; varies: nodes, sizes -->
\`\`\`console
$ apply -f db.yaml
> claims/db created
$ where \\
> db
claim default/db  phase Bound
  └ volume pvc-0123456789ab  size 1Gi, attached node-2, free 1.5 GiB
$ quiet
\`\`\`

    $ indented

    still here

The end.
`;

function only(text: string): Transcript {
  const [transcript] = parseTranscripts('docs/a.md', text).transcripts;
  assert.ok(transcript !== undefined);
  return transcript;
}

const RIGHT = [
  ['> claims/db created'],
  [
    'claim default/db  phase Bound',
    '  └ volume pvc-ffffffffffff  size 1Gi, attached node-3, free 20 MiB',
  ],
  [],
];

function changed(step: number, ...lines: string[]): string[][] {
  return RIGHT.map((each, index) => (index === step ? lines : each));
}

describe('A document with transcripts', () => {
  test('It has steps with commands, outputs and the lines where they stand', () => {
    const { transcripts, files } = parseTranscripts('docs/a.md', PAGE);
    assert.deepEqual(files, [{ name: 'db.yaml', scenario: 'first', text: 'kind: Claim\n' }]);
    assert.equal(transcripts.length, 1);
    const { scenario, varies, until, line, steps } = only(PAGE);
    assert.deepEqual([scenario, varies, until, line], ['first', ['nodes', 'sizes'], undefined, 10]);
    assert.deepEqual(
      steps.map((step) => [step.line, step.command, step.outputLine, step.output.length]),
      [
        [12, 'apply -f db.yaml', 13, 1],
        [14, 'where \\\ndb', 16, 2],
        [18, 'quiet', 19, 0],
      ],
    );
  });

  test('Its indented blocks are blocks, across empty lines, and know their mark', () => {
    const { blocks, stray } = parseBlocks(PAGE);
    assert.deepEqual(blocks.at(-1)?.lines, ['$ indented', '', 'still here']);
    assert.deepEqual(
      blocks.map((block) => [block.mark?.kind, block.isFenced, block.line]),
      [
        ['file', true, 5],
        ['transcript', true, 12],
        [undefined, false, 21],
      ],
    );
    assert.deepEqual(stray, []);
  });

  test('A mark above prose is stray', () => {
    const { stray } = parseBlocks('# A\n\n<!-- not run: why -->\nProse.\n\n    $ x\n');
    assert.deepEqual(
      stray.map(({ kind, line }) => [kind, line]),
      [['not run', 3]],
    );
  });

  test('Output before the first command is refused', () => {
    const text = '# A\n\n<!-- transcript: a -->\n```console\nstray\n$ x\n```\n';
    assert.throws(
      () => parseTranscripts('a.md', text),
      /Line 5 is the output of no command: stray/,
    );
  });
});

describe('A comparison', () => {
  test('Names, sizes and nodes that vary make no difference', () => {
    assert.deepEqual(compareTranscript(only(PAGE), RIGHT), []);
  });

  test('A changed word is named with its line', () => {
    const found = compareTranscript(only(PAGE.replace('phase Bound', 'phase Pending')), RIGHT).map(
      formatDifference,
    );
    assert.deepEqual(found, [
      'docs/a.md:16: $ where \\\ndb\n' +
        '  documented: claim default/db  phase Pending\n' +
        '  printed:    claim default/db  phase Bound',
    ]);
  });

  test('A line too few and a line too many are differences', () => {
    const few = compareTranscript(only(PAGE), changed(2, 'said something'));
    assert.deepEqual(
      few.map(({ line, documented, printed }) => [line, documented, printed]),
      [[19, undefined, 'said something']],
    );
    const many = compareTranscript(only(PAGE), changed(0));
    assert.deepEqual(
      many.map(({ line, documented, printed }) => [line, documented, printed]),
      [[13, '> claims/db created', undefined]],
    );
  });

  test('A node or a size counts where the transcript does not say that it varies', () => {
    const strict = only(PAGE.replace('; varies: nodes, sizes', ''));
    assert.deepEqual(
      compareTranscript(strict, RIGHT).map(({ line }) => line),
      [17],
    );
  });

  test('Lines in any order are equal as a set, and the one that is missing is named', () => {
    const page = '# A\n\n<!-- transcript: a; varies: order -->\n```\n$ x\none\ntwo\ntwo\n```\n';
    assert.deepEqual(compareTranscript(only(page), [['two', 'one', 'two']]), []);
    const [found] = compareTranscript(only(page), [['two', 'three', 'two']]);
    assert.deepEqual([found?.line, found?.documented], [6, 'one']);
    const [fewer] = compareTranscript(only(page), [['two', 'one']]);
    assert.equal(fewer?.documented, 'two');
    const [more] = compareTranscript(only(page), [['two', 'one', 'two', 'two']]);
    assert.deepEqual([more?.line, more?.printed], [9, 'two']);
  });
});

describe('A rewrite', () => {
  const replay = (text: string, printed: string[][]): string =>
    rewriteDocument(text, [{ transcript: only(text), printed }]);

  test('A document that is right stays as it is, byte for byte', () => {
    assert.equal(replay(PAGE, RIGHT), PAGE);
  });

  test('What differs becomes what was printed, and nothing else', () => {
    const printed = changed(0, 'claims/db changed', 'and more');
    const fresh = replay(PAGE, printed);
    assert.equal(fresh, PAGE.replace('> claims/db created', 'claims/db changed\nand more'));
    assert.deepEqual(compareTranscript(only(fresh), printed), []);
    assert.equal(replay(fresh, printed), fresh);
  });
});

describe('A mask', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['db   Bound   pvc-dbc2b0ef-7883-451a-9f29-99898ebd52b6   1s', 'db  Bound  pvc-UID  PERIOD'],
    ['a pvc-dbc2b0ef7883-32f303 of pvc-dbc2b0ef7883', 'a REPLICA of VOLUME'],
    ['pvc-f74eb300f2d5-origin', 'VOLUME-origin'],
    ['mount default/db-23ed6f87: ext4 on /dev/loop12', 'mount default/db-HASH: ext4 on LOOP'],
    ['AGE 2m44s, 3h5m, 12d, 45m', 'AGE PERIOD, PERIOD, PERIOD, PERIOD'],
    ['in about 1 s, after 1 min 3 s', 'in about PERIOD, after PERIOD'],
    ['at 2026-11-25T21:41:12.392Z', 'at TIME'],
    ['    └ device /dev/vda  filesystem ext4, serial x', '    └ device DISK'],
    ['346 data, 2 zero, 346 checked, 0 corrupt', 'N data, N zero, N checked, 0 corrupt'],
    [
      'completed (1, 22) to node-2/19615/395cb1400b982084',
      'completed (GENERATION) to node-2/PID/HEX',
    ],
    ['2 of 2 replicas, epoch 3, 256Mi', '2 of 2 replicas, epoch 3, 256Mi'],
  ];
  for (const [line, masked] of cases) {
    test(`It takes out what varies, and no more: ${line}`, () => {
      assert.equal(maskLine(line, []), masked);
    });
  }

  test('Sizes go with the blanks before them, quantities of Kubernetes stay', () => {
    assert.equal(
      maskLine('  40.7 MiB  live: 10% of 256Mi', ['sizes']),
      'SIZE  live: SIZE of 256Mi',
    );
  });
});

import pc from 'picocolors';

export type Colors = ReturnType<typeof pc.createColors>;

/** Text that goes to files, pipes and tests. */
export const PLAIN: Colors = pc.createColors(false);

/**
 * Whether to colour what is written to one stream, by https://no-color.org and FORCE_COLOR, else
 * where the stream is a terminal. Never for `CI` alone: a pipe there is read by programs.
 */
export function colorsFor(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): Colors {
  const { NO_COLOR: no = '', FORCE_COLOR: force = '', TERM: term } = env;
  if (no !== '') return PLAIN;
  if (force !== '') return pc.createColors(force !== '0');
  return pc.createColors(stream.isTTY === true && term !== 'dumb');
}

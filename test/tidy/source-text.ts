/**
 * TypeScript source with comments, and if wanted string contents, turned into blanks of the same
 * length, so that offsets and lines stay true. A scanner, not a parser: it knows comments, the
 * three kinds of quotes and regular expressions by what stands before them, which is enough for
 * code that went through the formatter.
 */

interface Blanked {
  /** Comments blanked. */
  readonly withStrings: string;
  /** Comments and the contents of strings and regular expressions blanked. */
  readonly codeOnly: string;
}

/** After one of these a slash begins a regular expression. */
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};<>+\-*%~^]|\b(?:return|typeof|case|in|of|void))\s*$/;

const cache = new Map<string, Blanked>();

export function blank(text: string): Blanked {
  const known = cache.get(text);
  if (known !== undefined) return known;
  const made = scan(text);
  cache.set(text, made);
  return made;
}

function scan(text: string): Blanked {
  const withStrings = text.split('');
  const codeOnly = text.split('');
  const wipe = (into: string[], from: number, to: number): void => {
    for (let at = from; at < to; at++) if (into[at] !== '\n') into[at] = ' ';
  };
  /** Depth of `{` inside each open template substitution. */
  const templates: number[] = [];
  let at = 0;
  const skipTemplate = (): void => {
    const from = at;
    while (at < text.length && text[at] !== '`') {
      if (text[at] === '\\') at++;
      else if (text.startsWith('${', at)) {
        wipe(codeOnly, from, at);
        at += 2;
        templates.push(0);
        return;
      }
      at++;
    }
    wipe(codeOnly, from, at);
    at++;
  };
  while (at < text.length) {
    const char = text[at];
    if (text.startsWith('//', at) || text.startsWith('/*', at)) {
      const end = text[at + 1] === '/' ? text.indexOf('\n', at) : text.indexOf('*/', at + 2) + 2;
      const to = end < 2 ? text.length : end;
      wipe(withStrings, at, to);
      wipe(codeOnly, at, to);
      at = to;
    } else if (char === "'" || char === '"') {
      const to = endOfLiteral(text, at, char);
      wipe(codeOnly, at + 1, to - 1);
      at = to;
    } else if (
      char === '/' &&
      BEFORE_REGEX.test(codeOnly.slice(Math.max(0, at - 40), at).join(''))
    ) {
      const to = endOfLiteral(text, at, '/');
      wipe(codeOnly, at + 1, to - 1);
      at = to;
    } else if (char === '`') {
      at++;
      skipTemplate();
    } else {
      const depth = templates.at(-1);
      if (depth !== undefined && char === '{') templates[templates.length - 1] = depth + 1;
      at++;
      if (depth !== undefined && char === '}') {
        if (depth > 0) templates[templates.length - 1] = depth - 1;
        else {
          templates.pop();
          skipTemplate();
        }
      }
    }
  }
  return { withStrings: withStrings.join(''), codeOnly: codeOnly.join('') };
}

/** The offset behind the closing `quote`, or of the line end where there is none. */
function endOfLiteral(text: string, from: number, quote: string): number {
  let inClass = false;
  for (let at = from + 1; at < text.length; at++) {
    const char = text[at];
    if (char === '\\') at++;
    else if (char === '\n') return at;
    else if (quote === '/' && char === '[') inClass = true;
    else if (quote === '/' && char === ']') inClass = false;
    else if (char === quote && !inClass) return at + 1;
  }
  return text.length;
}

/**
 * What each shell is told: hand the words to `holdfast __complete`, take a line `VALUE<tab>MEANING`
 * for each candidate, and complete files where the answer is `:files`.
 */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

export function completionScript(shell: Shell): string {
  return SCRIPTS[shell].trim();
}

/** Bash takes `=` and `:` for ends of words: of a candidate it wants what stands behind them. */
const BASH = String.raw`
_holdfast() {
  local line="${'$'}{COMP_LINE:0:COMP_POINT}" word done_part
  local -a words=()
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  local current="${'$'}{words[-1]}"
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == ":files" ]]; then
      compopt -o default
      return
    fi
    word="${'$'}{line%%$'\t'*}"
    done_part="${'$'}{current%"${'$'}{current##*[=:]}"}"
    COMPREPLY+=("${'$'}{word#"$done_part"}")
  done < <("${'$'}{words[0]}" __complete -- "${'$'}{words[@]:1}" 2>/dev/null)
  [[ ${'$'}{#COMPREPLY[@]} -eq 1 && ${'$'}{COMPREPLY[0]} == */ ]] && compopt -o nospace
}
complete -F _holdfast holdfast
`;

const ZSH = String.raw`
#compdef holdfast
_holdfast() {
  local line word
  local -a found
  while IFS= read -r line; do
    if [[ $line == ":files" ]]; then
      _files
      return
    fi
    # In _describe a colon ends the value.
    word="${'$'}{${'$'}{line%%$'\t'*}//:/\\:}"
    [[ $line == *$'\t'* ]] && word="$word:${'$'}{line#*$'\t'}"
    found+=("$word")
  done < <("${'$'}{words[1]}" __complete -- "${'$'}{(@)words[2,CURRENT]}" 2>/dev/null)
  _describe 'holdfast' found
}
compdef _holdfast holdfast
`;

const FISH = String.raw`
function __holdfast_complete
  set -l words (commandline -opc)
  set -l found ($words[1] __complete -- $words[2..-1] (commandline -ct) 2>/dev/null)
  if test "$found[1]" = ":files"
    __fish_complete_path (commandline -ct)
  else if set -q found[1]
    printf '%s\n' $found
  end
end
complete -c holdfast -f -a '(__holdfast_complete)'
`;

const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };

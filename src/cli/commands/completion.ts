import { exitCodes } from "../../model/errors.ts";
import { type Command, defineCommand, type LoadCommands, operandOf } from "../command.ts";
import { print } from "../output.ts";
import { flagsOf } from "../parse-call.ts";
import { helpPages } from "./help-pages.ts";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

interface Described {
  readonly name: string;
  readonly description: string;
  /** What stands without a flag and can be offered: a grid file, the name of a configuration. */
  readonly operand: "grid" | "name" | null;
  /** Words that may stand there. */
  readonly words: readonly string[];
  readonly options: readonly {
    readonly flag: string;
    readonly description: string;
    readonly takesValue: boolean;
    readonly choices: readonly string[];
    readonly listOf: readonly string[];
  }[];
}

export const command = defineCommand({
  summary: "print a completion script for your shell",
  operands: { shell: operandOf("which shell", shells) },
  examples: [
    "source <(trainlock completion bash)            # in ~/.bashrc",
    "source <(trainlock completion zsh)             # in ~/.zshrc, after compinit",
    "trainlock completion fish > ~/.config/fish/completions/trainlock.fish",
  ],
  exitCodes: { 0: "printed", 2: "the call is wrong, for example no such shell" },
  execute: ({ shell }, commands) => complete(shell, commands),
});

async function complete(shell: Shell, commands: LoadCommands): Promise<number> {
  const shown = [...(await commands())].filter(([, { hidden }]) => hidden !== true);
  const names = shown.map(([name]) => name);
  const pages = Object.keys(helpPages).map((page) => (names.includes(page) ? `${page}.md` : page));
  const words: Readonly<Record<string, readonly string[]>> = {
    help: [...names, ...pages],
    completion: shells,
    history: ["prune"],
  };
  print(scripts[shell](shown.map(([name, each]) => ({ ...describe(name, each), words: words[name] ?? [] }))));
  return exitCodes.ok;
}

function describe(name: string, { summary, options = {}, operands = {} }: Command): Omit<Described, "words"> {
  const described = Object.entries(options).flatMap(([key, option]) =>
    flagsOf(key, option).map((each) => ({
      ...each,
      takesValue: option.form === "value",
      choices: option.choices ?? [],
      listOf: option.listOf ?? [],
    })),
  );
  const help = { flag: "--help", description: "show help", takesValue: false, choices: [], listOf: [] };
  const operand = "grid" in operands ? "grid" : "name" in operands ? "name" : null;
  return { name, description: summary, operand, options: [...described, help] };
}

const scripts: Record<Shell, (commands: readonly Described[]) => string> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

const folderFlags = new Set(["--root", "--lock-dir"]);
const fileFlags = new Set(["--config", "--grid"]);
/** Their values are asked for with the hidden command `__complete`. */
const valueFields: Readonly<Record<string, string>> = {
  "--strategy": "strategy",
  "--dataset": "dataset",
  "--model": "model",
  "--name": "name",
};
const gridEndings = ["yaml", "yml", "csv", "tsv", "jsonl"];

function bashScript(commands: readonly Described[]): string {
  const choices = new Map(
    commands.flatMap(({ options }) => options.filter((o) => o.choices.length > 0).map((o) => [o.flag, o.choices])),
  );
  const values = [...choices].map(
    ([flag, words]) => `    ${flag}) COMPREPLY=($(compgen -W "${words.join(" ")}" -- "$cur")); return ;;`,
  );
  const lists = commands.flatMap(({ name, options }) =>
    options.flatMap(({ flag, listOf }) =>
      listOf.length === 0 ? [] : [`    "${name} ${flag}") _trainlock_list "${listOf.join(" ")}"; return ;;`],
    ),
  );
  // Nothing is known of their values: neither files nor options are offered.
  const others = commands.flatMap(({ name, options }) => {
    const own = options.filter(({ flag, takesValue }) => takesValue && !Object.hasOwn(valueFields, flag));
    const unknown = own.filter(
      ({ flag, choices, listOf }) =>
        choices.length + listOf.length === 0 && !folderFlags.has(flag) && !fileFlags.has(flag),
    );
    return unknown.length === 0 ? [] : [`    ${unknown.map(({ flag }) => `"${name} ${flag}"`).join("|")}) return ;;`];
  });
  const fields = Object.entries(valueFields).map(
    ([flag, field]) => `    ${flag}) _trainlock_values ${field}; return ;;`,
  );
  const operands = commands.flatMap(({ name, operand }) =>
    operand === "grid"
      ? [`    ${name}) [[ $cur == -* ]] || { _trainlock_grids; return; } ;;`]
      : operand === "name"
        ? [`    ${name}) [[ $cur == -* ]] || { _trainlock_values name; return; } ;;`]
        : [],
  );
  const words = commands.flatMap(({ name, words: own }) =>
    own.length === 0
      ? []
      : [`    ${name}) [[ $cur == -* ]] || { COMPREPLY=($(compgen -W "${own.join(" ")}" -- "$cur")); return; } ;;`],
  );
  const flags = commands.map(({ name, options }) => `    ${name}) words="${options.map((o) => o.flag).join(" ")}" ;;`);
  return `# bash completion for trainlock
# A name has slashes, and is no path of which the last part would do.
_trainlock_values() {
  compopt +o filenames 2>/dev/null
  mapfile -t COMPREPLY < <("\${COMP_WORDS[0]}" __complete "$1" "$cur" "\${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null </dev/null)
}
_trainlock_list() {
  local before=\${cur%"\${cur##*,}"}
  COMPREPLY=($(compgen -P "$before" -W "$1" -- "\${cur##*,}"))
}
_trainlock_grids() {
  local file
  while IFS= read -r file; do
    if [[ -d $file || $file =~ \\.(${gridEndings.join("|")})$ ]]; then COMPREPLY+=("$file"); fi
  done < <(compgen -f -- "$cur")
}
_trainlock() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]} words i
  COMPREPLY=()
  for ((i = 2; i < COMP_CWORD; i++)); do
    if [[ \${COMP_WORDS[i]} == -- ]]; then
      if ((i == COMP_CWORD - 1)); then COMPREPLY=($(compgen -c -- "$cur")); else COMPREPLY=($(compgen -f -- "$cur")); fi
      return
    fi
  done
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(" ")} --help --version" -- "$cur"))
    return
  fi
  # --strategy=b is three words.
  if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  case $prev in
${fields.join("\n")}
    ${[...folderFlags].join("|")}) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    ${[...fileFlags].join("|")}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
${values.join("\n")}
  esac
  case "$command $prev" in
${[...lists, ...others].join("\n")}
  esac
  case $command in
${[...operands, ...words].join("\n")}
  esac
  case $command in
${flags.join("\n")}
    *) return ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o filenames -F _trainlock trainlock
`;
}

function zshScript(commands: readonly Described[]): string {
  const quote = (text: string) => text.replaceAll("'", "'\\''").replace(/[[\]:]/g, "\\$&");
  const names = commands.map(({ name, description }) => `    '${name}:${quote(description)}'`);
  const flagSpec = ({ flag, description, takesValue, choices, listOf }: Described["options"][number]) => {
    const value = !takesValue
      ? ""
      : folderFlags.has(flag)
        ? ":folder:_files -/"
        : fileFlags.has(flag)
          ? ":file:_files"
          : choices.length > 0
            ? `:value:(${choices.join(" ")})`
            : listOf.length > 0
              ? `:values:_values -s , value ${listOf.join(" ")}`
              : valueFields[flag] !== undefined
                ? `:value:{_trainlock_values ${valueFields[flag]}}`
                : ":value: ";
    return `'${flag}[${quote(description)}]${value}'`;
  };
  const cases = commands.map(({ name, operand, words, options }) => {
    const rest =
      name === "run"
        ? " '*::command:_normal'"
        : words.length > 0
          ? ` '1:what:(${words.join(" ")})'`
          : operand === "grid"
            ? ` '1:grid:_files -g "*.(${gridEndings.join("|")})"'`
            : operand === "name"
              ? " '1:name:{_trainlock_values name}'"
              : "";
    return `    ${name}) _arguments ${options.map(flagSpec).join(" ")}${rest} ;;`;
  });
  return `#compdef trainlock
_trainlock_values() {
  local -a found
  found=("\${(@f)$(trainlock __complete $1 "$PREFIX" "\${(@)words}" 2>/dev/null </dev/null)}")
  compadd -a found
}
_trainlock() {
  local -a commands=(
${names.join("\n")}
  )
  if ((CURRENT == 2)); then _describe command commands; return; fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${cases.join("\n")}
  esac
}
# Read by source, or by zsh itself as the function of this name.
if [[ $funcstack[1] == _trainlock ]]; then _trainlock "$@"; else compdef _trainlock trainlock; fi
`;
}

function fishScript(commands: readonly Described[]): string {
  const quote = (text: string) => `'${text.replace(/['\\]/g, "\\$&")}'`;
  const lines = commands.flatMap(({ name, description, operand, words, options }) => [
    `complete -c trainlock -n __fish_use_subcommand -f -a ${name} -d ${quote(description)}`,
    ...(words.length > 0
      ? [`complete -c trainlock -n '__fish_seen_subcommand_from ${name}' -f -a ${quote(words.join(" "))}`]
      : []),
    ...(operand === "grid" ? [`complete -c trainlock -n '__fish_seen_subcommand_from ${name}' -F`] : []),
    ...(operand === "name"
      ? [
          `complete -c trainlock -n '__fish_seen_subcommand_from ${name}' -f ` +
            "-a '(trainlock __complete name (commandline -ct) (commandline -opc) 2>/dev/null)'",
        ]
      : []),
    ...options.map(({ flag, description: text, takesValue, choices, listOf }) => {
      const value = !takesValue
        ? ""
        : folderFlags.has(flag)
          ? " -r -a '(__fish_complete_directories)'"
          : fileFlags.has(flag)
            ? " -r -F"
            : valueFields[flag] !== undefined
              ? ` -x -a '(trainlock __complete ${valueFields[flag]} (commandline -ct) (commandline -opc) 2>/dev/null)'`
              : listOf.length > 0
                ? ` -x -a '(__fish_append , ${listOf.join(" ")})'`
                : ` -x -a ${quote(choices.join(" "))}`;
      return `complete -c trainlock -n '__fish_seen_subcommand_from ${name}' -f -l ${flag.slice(2)} -d ${quote(text)}${value}`;
    }),
  ]);
  return `# fish completion for trainlock\ncomplete -c trainlock -f\n${lines.join("\n")}\n`;
}

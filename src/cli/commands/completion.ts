import { exitCodes } from "../../model/errors.ts";
import { type Command, defineCommand, type LoadCommands, operandOf } from "../command.ts";
import { print } from "../output.ts";
import { flagsOf } from "../parse-call.ts";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

interface Described {
  readonly name: string;
  readonly description: string;
  readonly options: readonly {
    readonly flag: string;
    readonly description: string;
    readonly takesValue: boolean;
    readonly choices: readonly string[];
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
  print(scripts[shell](shown.map(([name, each]) => describe(name, each))));
  return exitCodes.ok;
}

function describe(name: string, { summary, options = {} }: Command): Described {
  const described = Object.entries(options).flatMap(([key, option]) =>
    flagsOf(key, option).map((each) => ({
      ...each,
      takesValue: option.form === "value",
      choices: option.choices ?? [],
    })),
  );
  const help = { flag: "--help", description: "show help", takesValue: false, choices: [] };
  return { name, description: summary, options: [...described, help] };
}

const scripts: Record<Shell, (commands: readonly Described[]) => string> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

const folderFlags = new Set(["--root", "--lock-dir"]);
const fileFlags = new Set(["--config"]);

function bashScript(commands: readonly Described[]): string {
  const choices = new Map(
    commands.flatMap(({ options }) => options.filter((o) => o.choices.length > 0).map((o) => [o.flag, o.choices])),
  );
  const values = [...choices].map(
    ([flag, words]) => `    ${flag}) COMPREPLY=($(compgen -W "${words.join(" ")}" -- "$cur")); return ;;`,
  );
  const flags = commands.map(({ name, options }) => `    ${name}) words="${options.map((o) => o.flag).join(" ")}" ;;`);
  return `# bash completion for trainlock
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
  case $prev in
    ${[...folderFlags].join("|")}) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    ${[...fileFlags].join("|")}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
${values.join("\n")}
  esac
  case $command in
${flags.join("\n")}
    *) return ;;
  esac
  [[ $command == completion ]] && words="${shells.join(" ")} $words"
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o filenames -F _trainlock trainlock
`;
}

function zshScript(commands: readonly Described[]): string {
  const quote = (text: string) => text.replaceAll("'", "'\\''").replace(/[[\]:]/g, "\\$&");
  const names = commands.map(({ name, description }) => `    '${name}:${quote(description)}'`);
  const flagSpec = ({ flag, description, takesValue, choices }: Described["options"][number]) => {
    const value = !takesValue
      ? ""
      : folderFlags.has(flag)
        ? ":folder:_files -/"
        : fileFlags.has(flag)
          ? ":file:_files"
          : choices.length > 0
            ? `:value:(${choices.join(" ")})`
            : ":value: ";
    return `'${flag}[${quote(description)}]${value}'`;
  };
  const cases = commands.map(({ name, options }) => {
    const rest =
      name === "run" ? " '*::command:_normal'" : name === "completion" ? ` '1:shell:(${shells.join(" ")})'` : "";
    return `    ${name}) _arguments ${options.map(flagSpec).join(" ")}${rest} ;;`;
  });
  return `#compdef trainlock
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
  const lines = commands.flatMap(({ name, description, options }) => [
    `complete -c trainlock -n __fish_use_subcommand -f -a ${name} -d ${quote(description)}`,
    ...options.map(({ flag, description: text, takesValue, choices }) => {
      const value = !takesValue
        ? ""
        : folderFlags.has(flag)
          ? " -r -a '(__fish_complete_directories)'"
          : fileFlags.has(flag)
            ? " -r -F"
            : ` -x -a ${quote(choices.join(" "))}`;
      return `complete -c trainlock -n '__fish_seen_subcommand_from ${name}' -f -l ${flag.slice(2)} -d ${quote(text)}${value}`;
    }),
  ]);
  const shellLine = `complete -c trainlock -n '__fish_seen_subcommand_from completion' -f -a ${quote(shells.join(" "))}`;
  return `# fish completion for trainlock\ncomplete -c trainlock -f\n${lines.join("\n")}\n${shellLine}\n`;
}

import { printable } from "../../model/printable.ts";
import { withoutSecrets } from "../../model/secrets.ts";
import { shellWord } from "../../model/shell-word.ts";
import { listenToQuestions, type Question } from "../../system/questions.ts";
import { say } from "../output.ts";

/** How many lines of an answer are shown: it may list the jobs of a whole cluster. */
const mostLines = 8;
const mostCharacters = 300;

/** What `--debug` does: says on standard error what others were asked, and what they answered. */
export function showQuestions(): void {
  listenToQuestions((question) => {
    // Its own helpers answer for the program itself.
    if (question.asked[0] !== process.execPath) say(questionText(question));
  });
}

/** The values of secrets are left out of the command, and of the answer. */
function questionText({ asked, ended, tookMs, said, by }: Question): string {
  const who = by === undefined ? "" : `${by}: `;
  const command = withoutSecrets(asked).map(shellWord).join(" ");
  const lines = said.flatMap((text) => text.split("\n").filter((line) => line.trim() !== ""));
  const shown = lines.slice(0, mostLines).map((line) => withoutSecrets([cut(line)])[0] ?? "");
  const more = lines.length - shown.length;
  return [
    `debug: ${who}${cut(printable(command))}`,
    `debug:   ${ended} after ${Math.round(tookMs)} ms`,
    ...shown.map((line) => `debug:   | ${printable(line)}`),
    ...(more > 0 ? [`debug:   | and ${more} more lines`] : []),
  ].join("\n");
}

function cut(text: string): string {
  return text.length > mostCharacters ? `${text.slice(0, mostCharacters)}…` : text;
}

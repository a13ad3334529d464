/** The lines of a stream as they come, without their ends; `ended` once there are no more, whatever the reason. */
export function readLines(
  stream: NodeJS.ReadableStream,
  onLine: (line: string) => void,
  ended: () => void = () => undefined,
): void {
  let rest = "";
  let over = false;
  const end = () => {
    if (!over) ended();
    over = true;
  };
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = `${rest}${text}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  });
  stream.on("end", end);
  stream.on("close", end);
  stream.on("error", end);
}

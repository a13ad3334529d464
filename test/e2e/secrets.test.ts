import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { withoutSecrets } from "../../src/model/secrets.ts";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

const secret = "s3cr3t-v41ue";

describe("the value of a secret is left out", () => {
  test.each([
    [
      ["t.py", "--api-key", secret, "--lr", "0.1"],
      ["t.py", "--api-key", "***", "--lr", "0.1"],
    ],
    [
      ["t.py", `--api-key=${secret}`, "--lr=1"],
      ["t.py", "--api-key=***", "--lr=1"],
    ],
    [
      ["t.py", "--hfToken", secret],
      ["t.py", "--hfToken", "***"],
    ],
    [
      ["t.py", "-token", `-${secret}`],
      ["t.py", "-token", "***"],
    ],
    [
      ["t.py", "--tokens", secret, secret, "--lr", "1"],
      ["t.py", "--tokens", "***", "***", "--lr", "1"],
    ],
    [
      ["env", `WANDB_API_KEY=${secret}`, "t.py"],
      ["env", "WANDB_API_KEY=***", "t.py"],
    ],
    [
      ["env", `PASSWORD=two ${secret}`, "t.py"],
      ["env", "PASSWORD=***", "t.py"],
    ],
    [
      ["t.py", `+logger.wandb.api_key=${secret}`, "a=1"],
      ["t.py", "+logger.wandb.api_key=***", "a=1"],
    ],
    [
      ["t.py", "--opts", `a.b=1,token=${secret},c=2`],
      ["t.py", "--opts", "a.b=1,token=***,c=2"],
    ],
    [
      ["t.py", `{"api_key": "${secret}", "lr": 3}`],
      ["t.py", '{"api_key": "***", "lr": 3}'],
    ],
    [
      ["curl", "-H", `Authorization: Bearer ${secret}`],
      ["curl", "-H", "Authorization:***"],
    ],
    [
      ["curl", `https://al:${secret}@h/?token=${secret}&y=2`],
      ["curl", "https://al:***@h/?token=***&y=2"],
    ],
    [
      ["bash", "-c", `API_KEY=${secret} t.py --token ${secret} --lr 1 && PASSWORD='a ${secret}' t.py`],
      ["bash", "-c", "API_KEY=*** t.py --token *** --lr 1 && PASSWORD='***' t.py"],
    ],
    [
      ["bash", "-lc", `curl -H "Authorization: Bearer ${secret}" -d "{\\"api_key\\": \\"${secret}\\"}" u`],
      ["bash", "-lc", 'curl -H "Authorization: ***" -d "{\\"api_key\\": \\"***\\"}" u'],
    ],
    [
      ["python", "-c", `login(token='${secret}')`],
      ["python", "-c", "login(token='***')"],
    ],
  ])("%j", (command, shown) => {
    expect(withoutSecrets(command)).toEqual(shown);
  });
});

test.each([
  [["python", "train.py", "--tokenizer", "gpt2", "--keypoints", "17", "--author", "bob"]],
  [["t.py", "--use-token", "--lr", "1"]],
  [["bash", "-c", "run --token --lr 1; echo the key is here"]],
  [["t.py", "--path=/data/keys/b", "/data/secret/x.py"]],
])("what is none stays: %j", (command) => {
  expect(withoutSecrets(command)).toEqual(command);
});

test("no file and no listing has the secret of a command", async () => {
  const root = await temporaryRoot();
  const of = configuration(root);
  const status = join(root, "status.json");
  const holder = await holdWithRun([...of.args, "--status", status]);
  holder.closeInput();
  await holder.finished;
  const run = ["run", ...of.args, "--status", status, "--done-file", "done.json", "--"];
  const running = trainlock([...run, "sh", "-c", `touch $TRAINLOCK_WEIGHTS_DIR/x; sleep 0.4`, "--api-key", secret]);
  await expect.poll(() => readFileSync(of.kernelLock, "utf8")).toContain('"--api-key"');
  const listed = await trainlock(["list", "--root", root, "--json"]);
  expect(await running).toMatchObject({ exitCode: 0 });
  expect(listed.stdout).toContain("***");
  expect(listed.stdout).not.toContain(secret);
  expect(readFileSync(status, "utf8")).toContain("***");
  expect(execFileSync("grep", ["-rlF", "***", root], { encoding: "utf8" }).split("\n").length).toBeGreaterThan(3);
  expect(() => execFileSync("grep", ["-rlF", secret, root])).toThrow();
});

test("with record: { command: off } a record tells no command", async () => {
  const root = await temporaryRoot();
  const of = configuration(root);
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, "trainlock.yaml"), "record: { command: off }\n");
  const holder = await holdWithRun(of.args);
  const listed = JSON.parse((await trainlock(["list", "--root", root, "--json"])).stdout);
  holder.closeInput();
  await holder.finished;
  expect(listed.locks.map((lock: { holder: unknown }) => lock.holder)).toMatchObject([
    { command: null },
    { command: null },
  ]);
  expect(readFileSync(of.markerRecord, "utf8")).not.toContain("HELD");
});

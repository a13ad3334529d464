import { spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { createServer, request } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { admit, type Caller } from "../../src/board/admit.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish, startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { boardAtPort, boardAtSocket, openPage } from "./browser.ts";

/** It wants to be called by its path, which is seldom on PATH. */
const sshd = "/usr/sbin/sshd";

async function smallGrid(): Promise<readonly string[]> {
  const root = await temporaryRoot();
  writeFileSync(join(root, "grid.csv"), "strategy,dataset,model\nsecret_strategy,D,m\n");
  return [join(root, "grid.csv"), "--root", root, "--scheduler", "none"];
}

const token = "0123456789abcdef0123456789abcdef";
const call: Caller = { method: "GET", path: "/", host: "localhost:8470", origin: null, site: "none" };

describe("who is answered", () => {
  const answered: readonly Partial<Caller>[] = [
    {},
    { host: "127.0.0.1:1" },
    { host: "[::1]:99" },
    { host: "LOCALHOST" },
    { site: "same-origin", origin: "http://localhost:8470" },
    { site: null },
    { method: "HEAD" },
  ];
  test.each(answered)("%o", (change) => expect(admit({ ...call, ...change }, null)).toEqual({ path: "/" }));

  const refused: readonly Partial<Caller>[] = [
    { host: null },
    { host: "evil.example:8470" },
    { host: "localhost.evil.example" },
    { host: "localhost@evil.example" },
    { host: "127.0.0.1.nip.example" },
    { host: "0.0.0.0:8470" },
    { host: "localhost:8470\tx" },
    { origin: "null" },
    { origin: "http://evil.example" },
    { origin: "http://localhost:3000" },
    { origin: "https://localhost:8470" },
    { site: "cross-site" },
    { site: "same-site" },
    { site: "" },
    { method: "POST" },
    { method: "OPTIONS" },
    { method: "get" },
  ];
  test.each(refused)("not %o", (change) => expect(admit({ ...call, ...change }, null)).not.toHaveProperty("path"));

  const withToken: readonly [string, string | null][] = [
    [`/${token}/`, "/"],
    [`/${token}/plan.json`, "/plan.json"],
    [`/${token}`, null],
    ["/", null],
    ["//", null],
    [`/${token.slice(1)}/`, null],
    [`/${token}0/`, null],
    [`/${token.toUpperCase()}/`, null],
    [`/x/${token}/`, null],
    ["/plan.json", null],
    [`/?token=${token}`, null],
  ];
  test.each(withToken)("with a token: %s", (path, expected) => {
    const admission = admit({ ...call, path }, token);
    expect("path" in admission ? admission.path : null).toBe(expected);
  });
});

/** What the board says to a request with these headers, whatever a browser would send. */
function ask(options: object): Promise<{ status: number; headers: Record<string, unknown>; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ method: "GET", path: "/", ...options }, (answer) => {
      let text = "";
      answer.on("data", (part) => {
        text += part;
      });
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

test("the socket is the user's alone, and answers nobody who asks under another name", async () => {
  const folder = await temporaryRoot();
  const board = await boardAtSocket(await smallGrid(), { XDG_RUNTIME_DIR: folder });
  const socketPath = board.socket ?? "";
  expect(socketPath).toMatch(/\/board-[0-9a-f]{8}\.sock$/);
  expect(lstatSync(socketPath).mode & 0o777).toBe(0o600);
  expect(board.process.stdout()).toMatch(/^From a laptop: ssh -N -L 8470:\S+\.sock \S+@\S+$/m);
  const good = await ask({ socketPath, headers: { host: "localhost:8470" } });
  expect(good.status).toBe(200);
  expect(good.text).toContain("secret_strategy");
  expect(good.headers["content-security-policy"]).toMatch(/^default-src 'none'; style-src 'self'; script-src 'self'/);
  for (const headers of [
    { host: "evil.example" },
    { host: "localhost", origin: "http://evil.example" },
    { host: "localhost", "sec-fetch-site": "cross-site" },
  ]) {
    for (const path of ["/", "/plan.json", "/events", "/board.js"]) {
      const bad = await ask({ socketPath, path, headers });
      expect([bad.status, bad.text.includes("secret")]).toEqual([403, false]);
    }
  }
  expect(await ask({ socketPath, method: "POST", headers: { host: "localhost" } })).toMatchObject({ status: 405 });
  for (const path of ["/../etc/passwd", "//evil.example/", "/%2e%2e/x", "/board.css/x"])
    expect(await ask({ socketPath, path, headers: { host: "localhost" } })).toMatchObject({ status: 404 });
});

test("the line for a laptop can be copied, and has the user's name also where the environment has none", async () => {
  const board = await boardAtPort(await smallGrid(), { env: { USER: "", LOGNAME: "" } });
  const me = (await finish("id", ["-un"])).stdout.trim();
  const line = `From a laptop: ssh -N -L (\\d+):127\\.0\\.0\\.1:\\1 ${me}@\\S+[^,]$`;
  expect(board.process.stdout()).toMatch(new RegExp(line, "m"));
});

requiresPrograms(
  "ssh",
  "sshd",
  "root",
)("the printed ssh line leads a laptop to the page", async () => {
  const board = await boardAtSocket(await smallGrid(), { XDG_RUNTIME_DIR: await temporaryRoot() });
  const [, socket = "", to = ""] = /^From a laptop: ssh -N -L 8470:(\S+) (\S+)$/m.exec(board.process.stdout()) ?? [];
  const keys = await temporaryRoot();
  const key = (name: string) => join(keys, name);
  for (const name of ["host", "user"])
    expect(await finish("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key(name)])).toMatchObject({
      exitCode: 0,
    });
  mkdirSync("/run/sshd", { recursive: true });
  const server = `${sshd} -i -f /dev/null -o HostKey=${key("host")} -o AuthorizedKeysFile=${key("user.pub")} -o StrictModes=no -o UsePAM=no`;
  const port = await freePort();
  const options = ["-i", key("user"), "-o", `ProxyCommand=${server}`, "-o", "StrictHostKeyChecking=no"];
  const known = ["-F", "none", "-o", `UserKnownHostsFile=${key("known")}`, "-o", "BatchMode=yes"];
  startProcess("ssh", ["-N", "-L", `${port}:${socket}`, to, ...options, ...known]);
  const seen = await until("the page, through ssh", () =>
    ask({ host: "127.0.0.1", port, headers: { host: `localhost:${port}` } }).catch(() => null),
  );
  expect(seen).toMatchObject({ status: 200, text: expect.stringContaining("secret_strategy") });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

test("a second board of a grid is refused, a socket that nobody listens at is replaced, a killed board leaves one", async () => {
  const folder = await temporaryRoot();
  const args = await smallGrid();
  const board = await boardAtSocket(args, { XDG_RUNTIME_DIR: folder });
  const second = await trainlock(["board", ...args], { env: { XDG_RUNTIME_DIR: folder } });
  expect(second).toMatchObject({ exitCode: 3, stderr: expect.stringMatching(/is running already/) });
  board.process.kill("SIGKILL");
  await board.process.finished;
  expect(readdirSync(folder)).toHaveLength(1);
  const third = await boardAtSocket(args, { XDG_RUNTIME_DIR: folder });
  expect(third.socket).toBe(board.socket);
  third.process.kill("SIGINT");
  expect(await third.process.finished).toMatchObject({ exitCode: 0 });
  expect(readdirSync(folder)).toEqual([]);
});

test("at a port every address has a token of 128 bits", async () => {
  const board = await boardAtPort(await smallGrid());
  const url = new URL(board.url);
  expect(url.pathname).toMatch(/^\/[0-9a-f]{32}\/$/);
  expect(url.hostname).toBe("127.0.0.1");
  for (const path of ["", "plan.json", "events", "board.js", `${"0".repeat(32)}/`, `${"0".repeat(32)}/plan.json`])
    expect((await fetch(new URL(path, url.origin))).status).toBe(403);
  const other = await boardAtPort(await smallGrid());
  expect(new URL(other.url).pathname).not.toBe(url.pathname);
});

requiresPrograms(
  "root",
  "setpriv as root",
  "python3",
)("another user of the host can neither connect nor make the folder first", async () => {
  const temporary = await temporaryRoot();
  chmodSync(temporary, 0o1777);
  const args = await smallGrid();
  const env = { TMPDIR: temporary };
  const board = startTrainlock(["board", ...args], { env });
  await board.waitFor("Ctrl-C");
  const [, socket = ""] = /^Socket: (.*)$/m.exec(board.stdout()) ?? [];
  expect(socket).toBe(join(temporary, "trainlock-0", readdirSync(join(temporary, "trainlock-0"))[0] ?? ""));
  expect(lstatSync(join(temporary, "trainlock-0")).mode & 0o777).toBe(0o700);
  const program = `import socket, sys\nsocket.socket(socket.AF_UNIX).connect(sys.argv[1])`;
  const asOther = (path: string) =>
    spawnSync("setpriv", ["--reuid=65530", "--regid=65530", "--clear-groups", "python3", "-c", program, path], {
      encoding: "utf8",
    });
  expect(asOther(socket).stderr).toMatch(/Permission denied/);
  // Where the folder lets them in, the socket itself does not.
  chmodSync(join(temporary, "trainlock-0"), 0o755);
  expect(asOther(socket).stderr).toMatch(/Permission denied/);
  chmodSync(join(temporary, "trainlock-0"), 0o700);
  board.kill("SIGTERM");
  await board.finished;

  const folder = join(temporary, "trainlock-0");
  const shapes: readonly (() => void)[] = [
    () => chownSync(folder, 65_530, 65_530),
    () => {
      chownSync(folder, 0, 0);
      chmodSync(folder, 0o770);
    },
    () => {
      spawnSync("sh", ["-c", 'rmdir "$1" && ln -s /root "$1"', "sh", folder]);
    },
    () => {
      spawnSync("sh", ["-c", 'rm "$1" && : >"$1"', "sh", folder]);
    },
    () => {
      spawnSync("rm", [folder]);
      chmodSync(temporary, 0o777);
    },
  ];
  for (const shape of shapes) {
    shape();
    // `su` leaves the variable of the user before: it is not used, either.
    const foreign = join(temporary, "runtime");
    mkdirSync(foreign, { recursive: true, mode: 0o700 });
    chownSync(foreign, 65_530, 65_530);
    const refused = await trainlock(["board", ...args], { env: { ...env, XDG_RUNTIME_DIR: foreign } });
    expect(refused).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringMatching(/no private folder/) });
    expect(readdirSync(foreign)).toEqual([]);
  }
});

requiresPrograms("chromium")(
  "a page from elsewhere gets no answer: other sites, other ports, DNS rebinding",
  async () => {
    const board = await boardAtPort(await smallGrid());
    const { port, pathname } = new URL(board.url);
    const attacker = createServer((_, answer) =>
      answer.setHeader("content-type", "text/html").end("<title>evil</title>"),
    );
    await new Promise<void>((resolve) => attacker.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void attacker.close());
    const attackerPort = (attacker.address() as { port: number }).port;
    const page = await openPage();
    const answers: number[] = [];
    const bodies: string[] = [];
    page.on("response", async (response) => {
      if (!response.url().includes(`:${port}/`)) return;
      answers.push(response.status());
      bodies.push(await response.text().catch(() => ""));
    });
    for (const from of [
      `http://evil.example:${attackerPort}/`,
      `http://localhost:${attackerPort}/`,
      `http://127.0.0.1:${attackerPort}/`,
    ]) {
      await page.goto(from);
      for (const host of ["127.0.0.1", "localhost", "evil.example"]) {
        const target = `http://${host}:${port}${pathname}`;
        const read = await page.evaluate(`(async () => {
        const target = ${JSON.stringify(target)};
        const got = [];
        for (const options of [{}, { mode: "no-cors" }, { method: "POST", mode: "no-cors", body: "x" }])
          got.push(await fetch(target + "plan.json", options).then((answer) => answer.text(), () => ""));
        for (const [tag, attribute] of [["img", "src"], ["script", "src"], ["iframe", "src"], ["link", "href"]]) {
          const element = document.createElement(tag);
          if (tag === "link") element.rel = "stylesheet";
          const over = new Promise((resolve) => { element.onload = element.onerror = resolve; });
          element[attribute] = target + (tag === "link" ? "board.css" : tag === "script" ? "board.js" : "");
          document.body.append(element);
          await over;
          if (tag === "iframe") { try { got.push(element.contentDocument.body.textContent); } catch {} }
        }
        return got.join("");
      })()`);
        expect(read).not.toContain("secret_strategy");
      }
      await page.evaluate(`location.href = ${JSON.stringify(board.url)}`);
      await page.waitForURL(board.url);
      expect(await page.content()).not.toContain("secret_strategy");
    }
    // The page has this very name's address: a resolver that changes its mind.
    await page.goto(`http://evil.example:${port}${pathname}`);
    expect(await page.content()).toContain("ask for localhost");
    expect(answers.length).toBeGreaterThan(9);
    expect(answers.filter((status) => status !== 403)).toEqual([]);
    expect(bodies.join("")).not.toContain("secret_strategy");
    const owner = await openPage();
    await owner.goto(board.url);
    expect(await owner.content()).toContain("secret_strategy");
  },
);

test("nothing on disk is changed, also by a board that is looked at", async () => {
  const args = await smallGrid();
  const root = args[2] ?? "";
  const before = readdirSync(root, { recursive: true });
  const board = await boardAtPort(args);
  await (await fetch(board.url)).text();
  await (await fetch(`${board.url}plan.json`)).text();
  expect(readdirSync(root, { recursive: true })).toEqual(before);
});

test("a board ends by itself when nobody looks, and not while somebody does", async () => {
  const folder = await temporaryRoot();
  const board = startTrainlock(["board", ...(await smallGrid()), "--for", "1s"], { env: { XDG_RUNTIME_DIR: folder } });
  await board.waitFor("Ctrl-C");
  const [, socketPath = ""] = /^Socket: (.*)$/m.exec(board.stdout()) ?? [];
  const viewer = connect(socketPath);
  viewer.write("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await new Promise((resolve) => viewer.once("data", resolve));
  let over = false;
  void board.finished.then(() => {
    over = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 2500));
  expect(over).toBe(false);
  viewer.destroy();
  expect(await board.finished).toMatchObject({ exitCode: 0 });
  expect(existsSync(socketPath)).toBe(false);
});

requiresPrograms("chromium")(
  "the file needs no network, names nobody, and calls itself old after twice its interval",
  async () => {
    const args = await smallGrid();
    const root = args[2] ?? "";
    mkdirSync(join(root, "WEIGHTS", "secret_strategy", "d_cd", "m"), { recursive: true });
    writeFileSync(
      join(root, "WEIGHTS", "secret_strategy", "d_cd", "m", ".training_lock"),
      "job of mallory\non node07\n",
    );
    const file = join(root, "board.html");
    writeFileSync(file, "the one before");
    const inode = lstatSync(file).ino;
    const written = await trainlock(["board", ...args, "--export", file, "--interval", "5m"]);
    expect(written).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/board\.html: as of .*, old after 10 min\n$/),
    });
    expect(lstatSync(file).ino).not.toBe(inode);
    const text = readFileSync(file, "utf8");
    expect(text).toContain("secret_strategy");
    for (const name of [root, "mallory", "node07", "no marker that can be read"]) expect(text).not.toContain(name);
    expect(text).not.toMatch(/(?:src|href|action)=["']?(?:[a-z]+:\/\/|\/)/i);
    const page = await openPage({ offline: true });
    const asked: string[] = [];
    page.on("request", (each) => asked.push(each.url()));
    await page.clock.install();
    await page.goto(`file://${file}`);
    expect(await page.locator("#life").textContent()).toMatch(/^a copy; old after \d{4}-/);
    expect(await page.locator("html.old").count()).toBe(0);
    await page.clock.fastForward(9 * 60_000);
    expect(await page.locator("html.old").count()).toBe(0);
    await page.clock.fastForward(2 * 60_000);
    await page.locator("html.old").waitFor();
    expect(await page.evaluate("getComputedStyle(document.querySelector('main')).filter")).toBe("grayscale(1)");
    await page.getByLabel("Find").fill("nothing has this");
    expect(await page.locator("#stuck li[id]:visible").count()).toBe(0);
    expect(asked.filter((url) => !url.startsWith("data:"))).toEqual([`file://${file}`]);
    expect(page.complaints).toEqual([]);
    const named = await trainlock(["board", ...args, "--export", file, "--with-names"]);
    expect(named.exitCode).toBe(0);
    expect(readFileSync(file, "utf8")).toContain("no marker that can be read");
  },
);

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";
import { expect } from "vitest";
import { Lab, type LabRow, manyRows, pictureRows } from "../support/lab.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { boardAtPort, boardAtSocket, type OpenPage, openPage } from "./browser.ts";

const test = requiresPrograms("chromium", "python3");
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

const row = (strategy: string, state: LabRow["state"], more: Partial<LabRow> = {}): LabRow => ({
  strategy,
  dataset: "IDD-AW",
  model: "m",
  state,
  ...more,
});

const fewRows: readonly LabRow[] = [
  row("old", "done"),
  row("now", "running", { user: "alice", step: 36_000 }),
  row("slow", "quiet", { user: "bob", step: 8000 }),
  row("gone", "stale", { user: "chen", step: 500 }),
  row("odd", "unknown", { dataset: "BDD10k" }),
  row("next", "free", { model: "n" }),
  row("bad", "failed"),
];

async function violations(page: OpenPage): Promise<string[]> {
  await page.evaluate(`(async () => { ${readFileSync(axe, "utf8")} })()`);
  const found = (await page.evaluate("axe.run(document)")) as {
    passes: unknown[];
    violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
  };
  // It did look.
  expect(found.passes.length).toBeGreaterThan(20);
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
}

test("each number and each state on the page is what plan --json says, at the socket and at the port", async () => {
  const lab = await Lab.open(await temporaryRoot(), fewRows);
  const { counts, rows } = JSON.parse((await trainlock(["plan", ...lab.args, "--json"])).stdout);
  for (const board of [await boardAtSocket(lab.args), await boardAtPort(lab.args)]) {
    const page = await openPage();
    await page.goto(board.url);
    for (const [state, count] of Object.entries(counts)) {
      const shown = await page.locator(`.counts [data-state=${state}] b`).allTextContents();
      expect([state, ...shown]).toEqual(count === 0 ? [state] : [state, String(count)]);
    }
    expect(await page.locator(".big").textContent()).toBe("1 of 7 done 14 %");
    for (const { name, state } of rows as { name: string; state: string }[]) {
      const places = page.locator("#stuck li[id], #running tbody tr, #rest tbody tr").filter({ hasText: name });
      expect(await places.count()).toBe(1);
      const place = { stale: "stuck", unknown: "stuck", failed: "stuck", running: "running" }[state] ?? "rest";
      expect(await page.locator(`#${place}`).textContent()).toContain(name);
    }
    expect(await page.locator("#stuck li[id]").allInnerTexts()).toEqual([
      expect.stringMatching(/stale\s+gone\/idd-aw\/m\n+chen, job \d+ on .* since .*Nobody holds its lock any more\n/s),
      expect.stringMatching(/unknown\s+odd\/bdd10k\/m\n/),
      expect.stringMatching(/failed\s+bad\/idd-aw\/m\n.*1 attempt failed, last exit 3\n/s),
    ]);
    expect(await page.locator("#running tbody tr").allInnerTexts()).toEqual([
      expect.stringMatching(/^now\/idd-aw\/m\s+alice job \d+ on \S+\s.*45 % 36000\/80000\s+\d+ min ago/s),
      expect.stringMatching(/^slow\/idd-aw\/m\s+bob .*10 % 8000\/80000\s+quiet for 3 h 6 min/s),
    ]);
    expect(await page.locator("#lately").textContent()).toMatch(
      /0 duplicates turned away.*failed bad\/idd-aw\/m \S+ on .*ago/s,
    );
    const json = await page.evaluate("fetch('plan.json').then((answer) => answer.json())");
    expect(json).toMatchObject({
      counts,
      rows: rows.map(({ name, state }: { name: string; state: string }) => ({ name, state })),
    });
    expect(page.complaints).toEqual([]);
  }
});

test("a change is on the pages of all viewers without a reload; what somebody is doing there stays", async () => {
  const lab = await Lab.open(await temporaryRoot(), fewRows);
  const board = await boardAtSocket(lab.args);
  const pages = [await openPage(), await openPage({ viewport: { width: 390, height: 800 } })];
  for (const page of pages) {
    await page.goto(board.url);
    await page.evaluate("window.notLoadedAgain = true");
    await page.getByLabel("Find").fill("idd-aw");
  }
  await lab.finish(row("now", "running"));
  for (const page of pages) {
    // 12 s where the machine has nothing else to do; scans keep their distance where they take long.
    await page.locator(".big").filter({ hasText: "2 of 7 done" }).waitFor({ timeout: 45_000 });
    expect(await page.locator("#running tbody tr").count()).toBe(1);
    expect(await page.evaluate("window.notLoadedAgain")).toBe(true);
    expect(await page.evaluate("document.activeElement.name")).toBe("find");
    expect(await page.locator("#stuck li[id]:visible").count()).toBe(2);
    expect(await page.locator("#news").textContent()).toBe("3 stuck, 1 running: grid.csv");
    expect(page.complaints).toEqual([]);
  }
});

test("a page that gets no answer any more calls itself old", async () => {
  const lab = await Lab.open(await temporaryRoot(), fewRows);
  const board = await boardAtSocket(lab.args);
  const page = await openPage();
  await page.clock.install();
  await page.goto(board.url);
  await page.locator("html.live").waitFor();
  board.process.kill("SIGTERM");
  expect(await board.process.finished).toMatchObject({ exitCode: 0 });
  await page.clock.fastForward(60_000);
  await page.locator("html.old").waitFor();
  expect(await page.locator("#life").textContent()).toMatch(/^no answer for .*: these numbers are old$/);
});

test("without JavaScript the page has the same rows, and filters and sorts by its addresses", async () => {
  const lab = await Lab.open(await temporaryRoot(), fewRows);
  const { url } = await boardAtPort(lab.args);
  const page = await openPage({ javaScriptEnabled: false });
  await page.goto(url);
  expect(await page.locator("#stuck li[id]").count()).toBe(3);
  expect(await page.locator("#matrix td.d, #matrix td.r, #matrix td.s, #matrix td.u").count()).toBe(5);
  await page.getByLabel("Find").fill("BOB idd-aw");
  await page.getByRole("button", { name: "Show" }).click();
  expect(await page.locator("#running tbody tr").allInnerTexts()).toEqual([expect.stringMatching(/^slow/)]);
  expect(await page.locator("#stuck li[id], #rest tbody tr").count()).toBe(0);
  await page.getByRole("link", { name: "Show all" }).click();
  await page.getByRole("link", { name: "Progress" }).click();
  expect(await page.locator("#running tbody tr").allInnerTexts()).toEqual([
    expect.stringMatching(/^slow/),
    expect.stringMatching(/^now/),
  ]);
  await page.getByRole("link", { name: /stale/ }).first().click();
  expect(await page.locator("#stuck li[id]").allInnerTexts()).toEqual([expect.stringMatching(/gone/)]);
  await page.goto(`${url}?down=model&across=strategy&per=&sort=nonsense&state=${"x".repeat(300)}`);
  expect(await page.locator("#matrix table thead").allInnerTexts()).toEqual([
    expect.stringMatching(/^model\s+old\s+now/),
  ]);
});

test("by keyboard alone: skip, filter, sort and read", async () => {
  const lab = await Lab.open(await temporaryRoot(), fewRows);
  const page = await openPage();
  await page.goto((await boardAtPort(lab.args)).url);
  await page.keyboard.press("Tab");
  expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to what needs attention");
  await page.keyboard.press("Enter");
  expect(await page.evaluate("document.activeElement.id")).toBe("stuck");
  const reach = async (what: string) => {
    for (let press = 0; press < 60; press += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(`document.activeElement.matches(${JSON.stringify(what)})`)) return;
    }
    throw new Error(`no way by Tab to ${what}`);
  };
  await reach("#running thead th:first-child a");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  expect(await page.locator("#running th").first().getAttribute("aria-sort")).toBe("descending");
  expect(await page.locator("#running tbody tr td:first-child").allInnerTexts()).toEqual([
    "slow/idd-aw/m",
    "now/idd-aw/m",
  ]);
  await reach("#matrix .scroll");
  await reach("#matrix td.r a");
  await page.keyboard.press("Enter");
  expect(await page.evaluate("document.activeElement.className")).toBe("r");
  await page.reload();
  await reach("input[name=find]");
  await page.keyboard.type("gone");
  expect(await page.locator("#stuck li[id]:visible, tbody tr:visible").count()).toBe(2);
});

test("nothing for axe to say, in light and dark, on a phone and in the file", async () => {
  const root = await temporaryRoot();
  const lab = await Lab.open(root, fewRows);
  const { url } = await boardAtPort(lab.args);
  const file = `${root}/board.html`;
  expect(await trainlock(["board", ...lab.args, "--export", file])).toMatchObject({ exitCode: 0 });
  for (const address of [url, `file://${file}`]) {
    for (const [colorScheme, width] of [
      ["light", 1280],
      ["dark", 390],
    ] as const) {
      const page = await openPage({ bypassCSP: true, colorScheme, viewport: { width, height: 800 } });
      await page.goto(address);
      expect(await violations(page)).toEqual([]);
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    }
  }
});

test("a thousand rows are 150 kB, 30 kB on the way, and are filtered and sorted", async () => {
  const lab = await Lab.open(await temporaryRoot(), manyRows(1000));
  const { url } = await boardAtPort(lab.args);
  const text = await (await fetch(url)).text();
  expect(Buffer.byteLength(text)).toBeLessThan(150_000);
  expect(gzipSync(text).length).toBeLessThan(30_000);
  const page = await openPage();
  await page.goto(url);
  expect(await page.locator(".big").textContent()).toMatch(/^\d+ of 1000 done/);
  await page.getByLabel("Find").fill("strategy_007 idd-aw");
  expect(await page.locator("#rest tbody tr:visible").count()).toBe(10);
  await page.getByLabel("Find").fill("");
  await page.getByLabel("State").first().selectOption("running");
  expect(await page.locator("#running tbody tr:visible").count()).toBe(100);
  expect(await page.locator("#rest tbody tr:visible, #stuck li[id]:visible").count()).toBe(0);
  await page.getByRole("link", { name: "Since" }).click();
  const since = (await page.evaluate(
    "[...document.querySelectorAll('#running tbody td:nth-child(3) time')].map((time) => Number(time.dataset.t))",
  )) as number[];
  expect(since).toEqual([...since].sort((a, b) => a - b));
});

const hostile = `<script>alert(1)</script><img src=x onerror=alert(2)>"'&amp;\u202etxt\u001b[31m\u0000`;

test("whatever stands in names and records is text on the page", async () => {
  const name = `<img src=x onerror=alert(3)> "' &lt; javascript:alert(4)`;
  const rows = [
    row(name, "running", { user: hostile, step: 5 }),
    row("</script><script>alert(5)</script>".replaceAll("/", "∕"), "stale", { user: hostile }),
    row("plain", "unknown", { user: hostile, model: "--><!--" }),
  ];
  const root = await temporaryRoot();
  const lab = await Lab.open(root, rows);
  const { url } = await boardAtPort(lab.args);
  const file = `${root}/board.html`;
  await trainlock(["board", ...lab.args, "--export", file, "--with-names"]);
  for (const address of [url, `file://${file}`]) {
    const page = await openPage();
    await page.goto(address);
    expect(await page.locator("#running tbody tr").textContent()).toContain(`${name}/idd-aw/m`);
    expect(await page.locator("#running tbody td").nth(1).textContent()).toContain(
      "<script>alert(1)</script><img src=x",
    );
    expect(await page.locator("#running tbody td").nth(1).textContent()).toContain("\\u{202e}txt\\x1b[31m\\x00");
    expect(await page.locator("main img, main script").count()).toBe(0);
    expect(page.complaints).toEqual([]);
  }
});

test("a grid with a mistake, or gone, shows the last rows and says so", async () => {
  const lab = await Lab.open(await temporaryRoot(), fewRows);
  const { url } = await boardAtPort(lab.args);
  await fetch(url).then((answer) => answer.text());
  writeFileSync(lab.grid, "strategy,dataset\nx,y\n");
  const text = await until(
    "a scan of the grid with its mistake",
    async () => {
      const answer = await (await fetch(url)).text();
      return answer.includes("class=problem") ? answer : null;
    },
    15_000,
  );
  expect(text).toMatch(/grid\.csv:\d.*: the rows read before are shown/);
  expect(text).toContain("gone/<wbr>idd-aw/<wbr>m");
});

// `TRAINLOCK_PICTURES=docs/pictures npx vitest run test/board/page.test.ts -t picture` makes those of the documents anew.
test("the grid of the pictures fits on a screen", async () => {
  const lab = await Lab.open(await temporaryRoot(), pictureRows());
  const { url } = await boardAtPort(lab.args);
  const folder = process.env.TRAINLOCK_PICTURES;
  const looks = [
    { name: "board", colorScheme: "light", viewport: { width: 1280, height: 1010 } },
    { name: "board-dark", colorScheme: "dark", viewport: { width: 1280, height: 1010 } },
    { name: "board-phone", colorScheme: "light", viewport: { width: 390, height: 844 } },
  ] as const;
  for (const { name, ...options } of looks) {
    const page = await openPage(options);
    await page.goto(url);
    expect(await page.locator("#stuck li[id]").count()).toBe(5);
    expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    if (folder === undefined) continue;
    // The root is a folder of this test, and says nothing to a reader.
    await page.evaluate("document.querySelector('h1 small').textContent = '/shared/project'");
    await page.screenshot({ path: `${folder}/${name}.png` });
  }
});

test("a failed row's card has its log and the error in it, as text; runs outside the grid are not listed; heads stay whole", async () => {
  const root = await temporaryRoot();
  writeFileSync(`${root}/trainlock.yaml`, "done:\n  when: [x.pth]\n");
  const grid = `${root}/g.yaml`;
  writeFileSync(grid, "- {strategy: s, dataset: d, model: [m, n]}\n");
  const fails = "echo '<b>no memory</b>' $(head -c 2000 /dev/zero | tr '\\0' x); exit 3";
  await trainlock(["work", grid, "--root", root, "--model", "m", "--", "sh", "-c", fails]);
  await trainlock(["run", "--root", root, "--strategy", "elsewhere", "--dataset", "d", "--model", "m", "--", "false"]);
  const args = [grid, "--root", root, "--scheduler", "none"];
  const board = await boardAtPort(args);
  for (const width of [500, 900, 1400]) {
    const page = await openPage({ viewport: { width, height: 900 } });
    await page.goto(board.url);
    const card = (await page.locator("#stuck li[id]").allInnerTexts()).join("\n");
    expect(card).toMatch(/Its log ends with: <b>no memory<\/b> x+\n/i);
    expect(card.length).toBeLessThan(1000);
    expect(card).toMatch(/log: \/\S+\/trainlock-logs\/1\.log\n/i);
    expect(card).toContain(`trainlock why s/d/m --grid ${grid}`);
    expect(await page.locator("#lately").textContent()).not.toContain("elsewhere");
    const heads = page.locator("#rest th").filter({ hasText: "Detail" });
    const { height } = (await heads.boundingBox()) ?? { height: 1000 };
    expect(height).toBeLessThan(45);
    expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    expect(page.complaints).toEqual([]);
  }
  const file = `${root}/board.html`;
  expect((await trainlock(["board", ...args, "--export", file])).exitCode).toBe(0);
  const copy = readFileSync(file, "utf8");
  expect(copy).toContain("trainlock why s/d/m --grid g.yaml");
  expect(copy).not.toMatch(new RegExp(`no memory|${root}`));
});

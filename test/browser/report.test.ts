import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Locator, type Page } from "playwright-core";
import { PNG } from "pngjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { drawnName } from "../../src/core/pictures/parts/text.ts";
import { themes } from "../../src/core/pictures/parts/theme.ts";
import { pictureWidth } from "../../src/core/pictures/picture.ts";
import { hostile, runHostileScenario } from "../support/hostile-scenario.ts";
import { moesim, readCsv, temporaryFolder } from "../support/program.ts";
import { trainedRun } from "../support/trained-run.ts";
import { faultsOf, findChromium } from "./browser.ts";

const executablePath = findChromium();

/** A sweep that has something to show in every kind of picture. */
const sweep = {
  name: "in a browser",
  description: "Which router?",
  steps: 12,
  tokens: 64,
  experts: 8,
  ranks: 4,
  stream: { kind: "clusters" },
  routers: ["topk", "alf-lb", "ssr", "base"].map((kind) => ({ kind })),
  sweep: { "routers.alf-lb.updateRate": [0.01, 0.1] },
  seeds: [1, 2],
};

/** Runs `sweep` and returns the folder of its results and what it printed of its recommendation. */
function runSweep(): { folder: string; recommended: string } {
  const folder = temporaryFolder();
  const file = path.join(folder, "sweep.json");
  writeFileSync(file, JSON.stringify(sweep));
  const out = path.join(folder, "results");
  const { code, stdout } = moesim(["sweep", file, "--out", out]);
  expect(code).toBe(0);
  return { folder: out, recommended: stdout.slice(stdout.indexOf("Pareto-best")) };
}

/** How many different colours an element has on the screen: text with its smoothed edges alone has dozens, a blank one one. */
async function colorsOf(element: Locator): Promise<number> {
  const { data } = PNG.sync.read(await element.screenshot());
  return new Set(new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4)).size;
}

/** The colour of the pixel in the upper left corner of an element, as `#rrggbb`. */
async function cornerOf(element: Locator): Promise<string> {
  const { data } = PNG.sync.read(await element.screenshot());
  return `#${data.subarray(0, 3).toString("hex")}`;
}

/** The cells of a column of all figures from top to bottom, by the text of its header. */
async function columnOf(page: Page, name: string): Promise<string[]> {
  const headers = await page.locator("#figures-table thead th").allTextContents();
  const column = headers.indexOf(name) + 1;
  return page.locator(`#figures-table tbody tr > :nth-child(${column})`).allTextContents();
}

describe.skipIf(executablePath === undefined)("the report in a browser (skipped without Chromium)", () => {
  let browser: Browser;
  let results: string;
  let recommended: string;
  let pictures: readonly { id: string; finding: string }[];
  let report: string;
  let hostileResults: string;
  let page: Page;
  /** What the console of `page` shows and what it would fetch. */
  const problems: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"], timeout: 0 });
    ({ folder: results, recommended } = runSweep());
    pictures = JSON.parse(moesim(["report", results, "--json"]).stdout).pictures;
    report = path.join(results, "report.html");
    hostileResults = runHostileScenario();
    expect(moesim(["report", hostileResults]).code).toBe(0);
    page = await open(report);
  });
  afterAll(() => browser?.close());

  /** A page opened from disk, its charts drawn. */
  async function open(file: string, options: BrowserContextOptions = {}): Promise<Page> {
    const opened = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: "light", ...options });
    opened.on("console", (message) => problems.push(message.text()));
    opened.on("pageerror", (error) => problems.push(error.message));
    opened.on("dialog", (dialog) => {
      problems.push(dialog.message());
      void dialog.dismiss();
    });
    opened.on("request", (request) => {
      if (request.url() !== pathToFileURL(file).href && !/^(data|blob):/.test(request.url())) {
        problems.push(request.url());
      }
    });
    await opened.goto(pathToFileURL(file).href);
    await opened.locator(".chart canvas").first().waitFor();
    return opened;
  }

  /** What the tooltip of the picture `id` says with the pointer at `x`, `y`, parts of the chart's width and pixels of its height. */
  async function tooltipAt(of: Page, id: string, x: number, y: number): Promise<string> {
    const chart = of.locator(`[data-picture='${id}']`);
    await chart.scrollIntoViewIfNeeded();
    const { width } = (await chart.boundingBox())!;
    await chart.hover({ position: { x: x * width, y } });
    // The chart itself is painted: text in its element is the tooltip's.
    await of.waitForFunction(
      (picture) => document.querySelector(`[data-picture='${picture}']`)!.textContent !== "",
      id,
    );
    return (await chart.textContent())!;
  }

  it("opens from disk, and every kind of picture is drawn", async () => {
    expect(pictures.map(({ id }) => id)).toEqual([
      "pareto",
      "sweep",
      "max-vio",
      "loads",
      "load-curves",
      "idle",
      "regret",
      "dual-regret",
      "rank-slowdown",
      "solver",
    ]);
    const charts = await page.locator(".chart").all();
    expect(charts).toHaveLength(pictures.length);
    for (const chart of charts) expect(await colorsOf(chart)).toBeGreaterThan(20);
  });

  it.each([
    ["max-vio", 0.16, 100],
    ["idle", 0.16, 100],
    ["load-curves", 0.25, 200],
    ["regret", 0.25, 200],
  ] as const)("tells the pointer each router's value in %s", async (id, x, y) => {
    const text = await tooltipAt(page, id, x, y);
    for (const name of ["topk updateRate=0.01", "base updateRate=0.1"]) expect(text).toContain(name);
    expect(text).toMatch(/\d/);
  });

  it("tells the pointer a cell's own steps, expert and load, of steps that are summed and of loads that are a sample", async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, "scenario.json");
    // Of 401 steps loads.csv has every other one, and the picture two or three of these in a column.
    const run = {
      ...sweep,
      steps: 401,
      loadSamples: 201,
      regret: { every: 0 },
      routers: [{ kind: "topk" }, { kind: "hash" }, { kind: "random" }],
    };
    writeFileSync(file, JSON.stringify({ ...run, sweep: undefined, seeds: undefined }));
    const out = path.join(folder, "results");
    expect(moesim(["run", file, "--quiet", "--out", out]).code).toBe(0);
    expect(moesim(["report", out]).code).toBe(0);
    const loadsPage = await open(path.join(out, "report.html"));
    const rows = readCsv(path.join(out, "loads.csv")).filter(({ router }) => router === "topk");
    const chart = loadsPage.locator("[data-picture='loads']");
    const { width } = (await chart.boundingBox())!;
    const seen = new Set<string>();
    for (const x of [70, 120, 170, 220]) {
      const text = await tooltipAt(loadsPage, "loads", x / width, 60);
      const [, first, last = first, expert, percent] =
        /^steps? (\d+)(?:–(\d+))?experts? (\d+)load (\d+) % of the mean$/.exec(text)!;
      seen.add(first);
      const inColumn = rows.filter(({ step }) => Number(step) >= Number(first) && Number(step) <= Number(last));
      // Both ends are steps that were recorded.
      for (const end of [first, last]) expect(inColumn.some(({ step }) => step === end)).toBe(true);
      const total = (of: typeof rows) => of.reduce((sum, { load }) => sum + Number(load), 0);
      const ofExpert = inColumn.filter((row) => row.expert === expert);
      expect(Number(percent)).toBe(Math.round((100 * 8 * total(ofExpert)) / total(inColumn)));
    }
    expect(seen.size).toBe(4);
    await loadsPage.close();
  });

  it("tells the pointer the step and its value, of lines that are thinned as well", async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, "scenario.json");
    const run = {
      ...sweep,
      steps: 1500,
      tokens: 16,
      ranks: 1,
      regret: { every: 0 },
      routers: ["topk", "random"].map((kind) => ({ kind })),
    };
    writeFileSync(file, JSON.stringify({ ...run, sweep: undefined, seeds: undefined }));
    const out = path.join(folder, "results");
    expect(moesim(["run", file, "--quiet", "--out", out]).code).toBe(0);
    expect(moesim(["report", out]).code).toBe(0);
    const linesPage = await open(path.join(out, "report.html"));
    const rows = readCsv(path.join(out, "steps.csv"));
    for (const x of [0.3, 0.62]) {
      const text = await tooltipAt(linesPage, "max-vio", x, 200);
      const [, shown] = /^step (\d+)topk/.exec(text)!;
      for (const router of ["topk", "random"]) {
        const [, value, other = shown] = new RegExp(`${router} ([\\d.]+)(?: \\(step (\\d+)\\))?`).exec(text)!;
        const row = rows.find((one) => one.router === router && one.step === other)!;
        expect(Number(value)).toBeCloseTo(Number(row.max_vio), 3);
      }
    }
    await linesPage.close();
  });

  it("paints heat maps whole at once, not cell by cell", async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, "scenario.json");
    const routers = Array.from({ length: 9 }, (_, i) => ({ kind: "round-robin", label: `r${i}` }));
    const run = {
      ...sweep,
      steps: 200,
      experts: 64,
      regret: { every: 0 },
      routers,
      sweep: undefined,
      seeds: undefined,
    };
    writeFileSync(file, JSON.stringify(run));
    const out = path.join(folder, "results");
    expect(moesim(["run", file, "--quiet", "--out", out]).code).toBe(0);
    expect(moesim(["report", out]).code).toBe(0);
    const mapPage = await browser.newPage();
    await mapPage.goto(pathToFileURL(path.join(out, "report.html")).href);
    await mapPage.locator(".chart canvas").first().waitFor();
    // Every expert has the mean load, so that the heat maps are of one colour; as soon as it is drawn again, in one task.
    const counts = await mapPage.evaluate(async () => {
      const element = document.querySelector<HTMLElement>("[data-picture='loads']")!;
      const filled = () => {
        let count = 0;
        for (const canvas of element.querySelectorAll("canvas")) {
          const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
          for (let at = 0; at < data.length; at += 4)
            if (data[at] < 100 && data[at + 2] > 180 && data[at + 3] > 0) count += 1;
        }
        return count;
      };
      document.getElementById("theme-switch")!.click();
      document.getElementById("theme-switch")!.click();
      const atOnce = filled();
      await new Promise((resolve) => setTimeout(resolve, 3000));
      return [atOnce, filled()];
    });
    expect(counts[0]).toBeGreaterThan(100_000);
    expect(counts[0]).toBe(counts[1]);
    await mapPage.close();
  });

  it("tells the pointer how much longer a router's steps take", async () => {
    expect(await tooltipAt(page, "rank-slowdown", 0.5, 24)).toMatch(/updateRate=0\.01.*mean.*95th percentile/s);
  });

  /** What the tooltip of the picture `id` says of the first point that the pointer meets from the top down at `x` pixels. */
  async function tooltipDown(id: string, x: number): Promise<string> {
    const chart = page.locator(`[data-picture='${id}']`);
    await chart.scrollIntoViewIfNeeded();
    const box = (await chart.boundingBox())!;
    for (let y = 40; y < 390 && (await chart.textContent()) === ""; y += 4) await page.mouse.move(box.x + x, box.y + y);
    return (await chart.textContent())!;
  }

  it("tells the pointer the value that was swept, where points stand beside it", async () => {
    // The first value is 24 pixels from the axis, and the middle ones of the four lines 2.5 pixels to its sides.
    expect(await tooltipDown("sweep", 64 + 24)).toMatch(/updateRate\s*0\.01.*MaxVio of a batch, mean/s);
  });

  it("tells the pointer both metrics of a point, and not its label", async () => {
    // Nothing but the exact optimum has no regret, and so stands on the axis.
    const text = await tooltipDown("pareto", 64);
    expect(text).toMatch(/base updateRate=0\.0?1.*regret, mean\s*0.*MaxVio of a batch, mean\s*0\.\d+$/s);
    expect(text).not.toContain("label");
  });

  it("draws how training went, and tells the pointer each router's loss once, not its noise too", async () => {
    const trained = await trainedRun({ steps: 90 });
    expect(moesim(["report", trained]).code).toBe(0);
    const trainedPage = await open(path.join(trained, "report.html"));
    for (const id of ["task-loss", "task-loss-balance"]) {
      expect(await colorsOf(trainedPage.locator(`[data-picture='${id}']`))).toBeGreaterThan(20);
    }
    expect(await tooltipAt(trainedPage, "task-loss", 0.5, 150)).toMatch(
      /^step \d+topk\s*[\d.]+alf-lb\s*[\d.]+sinkhorn\s*[\d.]+$/,
    );
    await trainedPage.close();
  });

  /** The places of a picture's pixels that are near a colour, from its upper left corner. */
  async function placesOf(of: Page, id: string, color: string): Promise<{ x: number; y: number }[]> {
    const chart = of.locator(`[data-picture='${id}']`);
    await chart.scrollIntoViewIfNeeded();
    const { data, width } = PNG.sync.read(await chart.screenshot());
    const wanted = Buffer.from(color.slice(1), "hex");
    const places: { x: number; y: number }[] = [];
    for (let pixel = 0; 4 * pixel < data.length; pixel += 1) {
      if (wanted.every((channel, i) => Math.abs(data[4 * pixel + i] - channel) < 30)) {
        places.push({ x: pixel % width, y: Math.floor(pixel / width) });
      }
    }
    return places;
  }

  async function pixelsOf(of: Page, id: string, color: string): Promise<number> {
    return (await placesOf(of, id, color)).length;
  }

  describe("highlights a router", () => {
    /** Four routers, whose lines share a plot; the third is orange. */
    const labels = ["topk", "alf-lb", "ssr", "base"];
    const orange = themes.light.variants[1];
    const blue = themes.light.variants[2];
    let quick: Page;

    beforeAll(async () => {
      const folder = temporaryFolder();
      const file = path.join(folder, "scenario.json");
      writeFileSync(file, JSON.stringify({ ...sweep, steps: 40, sweep: undefined, seeds: undefined }));
      const out = path.join(folder, "results");
      expect(moesim(["run", file, "--quiet", "--out", out]).code).toBe(0);
      expect(moesim(["report", out]).code).toBe(0);
      quick = await open(path.join(out, "report.html"));
    });
    afterAll(() => quick?.close());

    /** The routers that each list of buttons, and each table, shows as chosen. */
    async function chosen(): Promise<string[][]> {
      return quick.evaluate(() =>
        Array.from(document.querySelectorAll(".legend, tbody"), (list) =>
          Array.from(list.querySelectorAll("[aria-pressed='true']"), (button) => button.textContent!),
        ),
      );
    }

    async function expectOnly(router: string | null): Promise<void> {
      const lists = await chosen();
      const known = await quick.evaluate(() =>
        Array.from(document.querySelectorAll(".legend, tbody"), (list) =>
          Array.from(list.querySelectorAll("button"), (button) => button.textContent!),
        ),
      );
      expect(lists.length).toBeGreaterThan(6);
      expect(lists).toEqual(known.map((names) => names.filter((name) => name === router)));
    }

    /** Pictures with lines, points, bars and cells. */
    const everyKind = ["pareto", "max-vio", "load-curves", "regret", "rank-slowdown"];

    it("in every picture and table, picked in a legend by keyboard, until Escape", async () => {
      const before = await Promise.all(everyKind.map(async () => 0));
      for (const [i, id] of everyKind.entries()) before[i] = await pixelsOf(quick, id, blue);
      expect(before.filter((count) => count > 0).length).toBeGreaterThanOrEqual(4);
      const cells = await colorsOf(quick.locator("[data-picture='loads']"));
      const button = quick.getByRole("list", { name: "Legend of “MaxVio over the steps”" }).getByRole("button");
      expect(await button.allTextContents()).toEqual(labels);
      await button.nth(1).press("Enter");
      await expectOnly("alf-lb");
      for (const [i, id] of everyKind.entries()) {
        if (before[i] > 0) expect(await pixelsOf(quick, id, blue), id).toBe(0);
        expect(await pixelsOf(quick, id, orange), id).toBeGreaterThan(0);
      }
      expect(await colorsOf(quick.locator("[data-picture='loads']"))).not.toBe(cells);
      await quick.keyboard.press("Escape");
      await expectOnly(null);
      for (const [i, id] of everyKind.entries()) expect(await pixelsOf(quick, id, blue), id).toBe(before[i]);
    });

    it("by a row and by the list beside the contents, and lets go of it by the second click", async () => {
      await quick.locator("#summary-table td").nth(2).click();
      await expectOnly("topk");
      await quick.locator("#figures-table tbody").getByRole("button", { name: "ssr" }).click();
      await expectOnly("ssr");
      await quick.locator("#router-list").getByRole("button", { name: "ssr" }).click();
      await expectOnly(null);
    });

    it("by its line, its point, its bar, the name of its row and the title of its heat map", async () => {
      for (const id of everyKind) {
        const chart = quick.locator(`[data-picture='${id}']`);
        const places = await placesOf(quick, id, orange);
        await chart.click({ position: places[places.length >> 1] });
        await expectOnly("alf-lb");
        await quick.keyboard.press("Escape");
      }
      await quick.locator("[data-picture='loads']").click({ position: { x: 70, y: 6 } });
      await expectOnly("topk");
      // A cell of the second panel, which begins in the middle.
      const { width } = (await quick.locator("[data-picture='loads']").boundingBox())!;
      await quick.locator("[data-picture='loads']").click({ position: { x: width / 2 + 80, y: 60 } });
      await expectOnly("alf-lb");
      await quick.keyboard.press("Escape");
      await quick.locator("[data-picture='rank-slowdown']").click({ position: { x: 56, y: 10 + 3.5 * 26 } });
      await expectOnly("base");
      await quick.keyboard.press("Escape");
    });

    it("through a change of the theme, with nothing that axe finds, and prints all alike", async () => {
      await quick.locator("#router-list").getByRole("button", { name: "alf-lb" }).click();
      await quick.getByRole("button", { name: "Dark theme" }).click();
      await expectOnly("alf-lb");
      expect(await pixelsOf(quick, "max-vio", themes.dark.variants[1])).toBeGreaterThan(0);
      expect(await pixelsOf(quick, "max-vio", themes.dark.variants[2])).toBe(0);
      expect(await faultsOf(quick)).toEqual([]);
      await quick.getByRole("button", { name: "Dark theme" }).click();
      await quick.emulateMedia({ media: "print" });
      const svg = quick.locator("[data-picture='max-vio'] .paper svg");
      expect(await svg.innerHTML()).toMatch(new RegExp(`stroke="${blue}"`));
      expect(await quick.locator(".side:visible, .legend:visible").count()).toBe(0);
      await quick.emulateMedia({ media: null });
      await quick.keyboard.press("Escape");
    });
  });

  it("highlights the line that a variant is part of where a parameter was swept, and the variants of a line", async () => {
    const line = page.getByRole("list", { name: "Legend of “MaxVio against the swept parameters”" });
    await line.getByRole("button", { name: "alf-lb" }).click();
    const rows = page.locator("#summary-table tbody [aria-pressed='true']");
    expect(await rows.allTextContents()).toEqual(["alf-lb updateRate=0.01", "alf-lb updateRate=0.1"]);
    await page.locator("#summary-table").getByRole("button", { name: "base updateRate=0.1" }).click();
    expect(await line.locator("button:not(.dimmed)").allTextContents()).toEqual(["base"]);
    await page.keyboard.press("Escape");
  });

  it("says the answer first and what was run last, folded, open on paper", async () => {
    const headings = await page.locator("h2").allTextContents();
    expect(headings).toEqual(["Verdict", "Recommendation", "Summary", "Pictures", "All figures", "What was run"]);
    const answer = page.locator(".verdict");
    expect(await answer.textContent()).toMatch(/^base updateRate=0\.01 and base updateRate=0\.1 balance best, tied/);
    expect((await answer.boundingBox())!.y).toBeLessThan(300);
    const steps = page.locator("dt", { hasText: /^Steps$/ });
    expect(await steps.isVisible()).toBe(false);
    await page.emulateMedia({ media: "print" });
    await expect.poll(() => steps.isVisible()).toBe(true);
    await page.emulateMedia({ media: null });
    await expect.poll(() => steps.isVisible()).toBe(false);
    await page.getByRole("link", { name: "What was run" }).click();
    await expect.poll(() => steps.isVisible()).toBe(true);
    await page.locator("summary", { hasText: "What was run" }).click();
    await page.evaluate(() => scrollTo(0, 0));
  });

  it("keeps its contents in view and marks the section that is read", async () => {
    const list = page.getByRole("navigation", { name: "Contents" });
    await list.getByRole("link", { name: "Sorted loads" }).click();
    await expect.poll(() => list.locator("[aria-current]").allTextContents()).toEqual(["Sorted loads"]);
    expect((await list.boundingBox())!.y).toBeGreaterThanOrEqual(0);
    expect((await list.boundingBox())!.y).toBeLessThan(100);
    await page.evaluate(() => scrollTo(0, 0));
    await expect.poll(() => list.locator("[aria-current]").allTextContents()).toEqual(["Verdict"]);
  });

  it("has contents and routers to open in a bar on a phone, legends that wrap, and nothing cut", async () => {
    const phone = await open(report, { viewport: { width: 390, height: 844 } });
    const list = phone.getByRole("navigation", { name: "Contents" });
    expect(await list.isVisible()).toBe(false);
    const opener = phone.getByRole("button", { name: "Contents" });
    await opener.press("Enter");
    expect(await list.isVisible()).toBe(true);
    expect(await faultsOf(phone)).toEqual([]);
    await list.getByRole("link", { name: "All figures" }).click();
    expect(await list.isVisible()).toBe(false);
    // The bar stays on top, and covers no heading that a link leads to.
    const bar = (await opener.boundingBox())!;
    expect(bar.y).toBeLessThan(20);
    await expect
      .poll(async () => (await phone.locator("#figures").boundingBox())!.y)
      .toBeGreaterThanOrEqual(bar.y + bar.height);
    await phone.getByRole("button", { name: "Routers", exact: true }).click();
    await phone.locator("#router-list").getByRole("button").nth(1).click();
    expect(await phone.locator("#router-list").isVisible()).toBe(false);
    expect(await phone.locator("#summary-table [aria-pressed='true']").count()).toBe(1);
    // Nothing in a chart is at its sides, where it would be cut.
    const cut = () =>
      phone.evaluate(() =>
        Array.from(document.querySelectorAll<HTMLCanvasElement>(".chart canvas"), (canvas) => {
          const { width, height } = canvas;
          // Drawn into a canvas that is read: Chromium warns of reading one that it draws on a graphics card.
          const copy = Object.assign(document.createElement("canvas"), { width, height });
          const context = copy.getContext("2d", { willReadFrequently: true })!;
          context.drawImage(canvas, 0, 0);
          const sides = [0, width - 1].map((x) => context.getImageData(x, 0, 1, height).data);
          return sides.some((column) => column.some((channel, i) => channel !== 255 && column[i | 3] !== 0))
            ? canvas.closest<HTMLElement>(".chart")!.dataset.picture
            : null;
        }).filter((id) => id !== null),
      );
    // Charts are drawn again after a choice and after a change of the width.
    await expect.poll(cut).toEqual([]);
    for (const width of [390, 320]) {
      await phone.setViewportSize({ width, height: 844 });
      await expect.poll(() => phone.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
      const beyond = () =>
        phone.evaluate(() =>
          Array.from(document.querySelectorAll("main :is(h2, h3, p, li, button, canvas, pre, dl)"))
            .filter((element) => element.closest(".scroll, .scrolling, details:not([open]) > :not(summary)") === null)
            .filter((element) => element.getBoundingClientRect().right > innerWidth)
            .map((element) => element.outerHTML.slice(0, 80)),
        );
      await expect.poll(beyond).toEqual([]);
      // Every entry of a legend is there to read, not behind a button to leaf through.
      const entries = phone.getByRole("list", { name: "Legend of “Regret against MaxVio”" }).locator("li");
      expect(await entries.count()).toBe(9);
      for (const entry of await entries.all()) expect(await entry.isVisible()).toBe(true);
    }
    await phone.close();
  });

  it("keeps hostile text text, in the page and in what the pointer shows", async () => {
    const hostilePage = await open(path.join(hostileResults, "report.html"));
    expect(await hostilePage.title()).toBe(hostile.name);
    expect(await hostilePage.locator(".description").textContent()).toBe(hostile.description);
    expect(await columnOf(hostilePage, "router")).toEqual(hostile.labels);
    const shown = await tooltipAt(hostilePage, "max-vio", 0.5, 150);
    for (const label of hostile.labels) expect(shown).toContain(drawnName(label));
    for (const chart of await hostilePage.locator(".chart").all()) await chart.hover();
    await hostilePage.setViewportSize({ width: 390, height: 844 });
    await tooltipAt(hostilePage, "max-vio", 0.5, 150);
    expect(await hostilePage.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    expect(await hostilePage.evaluate(() => "hacked" in window)).toBe(false);
    expect(await hostilePage.locator("img, main script").count()).toBe(0);
    const [download] = await Promise.all([
      hostilePage.waitForEvent("download"),
      hostilePage.locator("[data-download='max-vio']").click(),
    ]);
    expect(download.suggestedFilename()).toBe("max-vio.svg");
    const svg = readFileSync(await download.path(), "utf8");
    expect(svg).toMatch(/^<svg /);
    expect(svg).toContain("&lt;script&gt;window.hacked");
    expect(svg).not.toContain("<script");
    await hostilePage.close();
  });

  it("sorts the table by a column, up and down, by click and by keyboard, empty cells last", async () => {
    const rows = readCsv(path.join(results, "summary.csv"));
    const sorted = (column: string, sign: number) => [
      ...rows
        .map((row) => row[column])
        .filter((cell) => cell !== "")
        .sort((a, b) => sign * (Number(a) - Number(b))),
      ...rows.map((row) => row[column]).filter((cell) => cell === ""),
    ];
    const header = page.locator("#figures-table th", { hasText: "max_vio_global" });
    await header.getByRole("button").click();
    expect(await columnOf(page, "max_vio_global")).toEqual(sorted("max_vio_global", 1));
    expect(await header.getAttribute("aria-sort")).toBe("ascending");
    await page.keyboard.press("Enter");
    expect(await columnOf(page, "max_vio_global")).toEqual(sorted("max_vio_global", -1));
    expect(await header.getAttribute("aria-sort")).toBe("descending");

    const dualRegret = page.locator("#figures-table th", { hasText: "dual_regret_cumulative" }).getByRole("button");
    for (const sign of [1, -1]) {
      await dualRegret.press(sign === 1 ? "Enter" : "Space");
      expect(await columnOf(page, "dual_regret_cumulative")).toEqual(sorted("dual_regret_cumulative", sign));
    }
    expect(sorted("dual_regret_cumulative", 1).at(-1)).toBe("");
    expect(await header.getAttribute("aria-sort")).toBe(null);

    await page.locator("#figures-table th").first().getByRole("button").press("Enter");
    expect(await columnOf(page, "router")).toEqual(rows.map(({ router }) => router).sort());
  });

  it("shows the main columns of all figures at first, and all when asked to", async () => {
    const gini = page.locator("#figures-table th", { hasText: "load_gini" });
    expect(await gini.isVisible()).toBe(false);
    const all = page.locator("#figures").locator("..").getByLabel("All columns");
    await all.check();
    expect(await gini.isVisible()).toBe(true);
    // Those of every summary, the parameter that was swept among them.
    const columns = Object.keys(readCsv(path.join(results, "summary.csv"))[0]);
    expect(await page.locator("#figures-table thead th:visible").count()).toBe(columns.length);
    await all.uncheck();
  });

  it("leads the keyboard from a link past the contents through all that can be pressed", async () => {
    const keyboardPage = await open(report);
    await keyboardPage.keyboard.press("Tab");
    const skip = keyboardPage.getByRole("link", { name: "Skip to the content" });
    expect(await skip.evaluate((link) => link === document.activeElement)).toBe(true);
    expect((await skip.boundingBox())!.y).toBeGreaterThanOrEqual(0);
    await keyboardPage.keyboard.press("Enter");
    expect(await keyboardPage.evaluate(() => document.activeElement?.id)).toBe("main");
    await keyboardPage.getByRole("region", { name: "Summary, table" }).focus();
    expect(await keyboardPage.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle)).toBe("solid");
    await keyboardPage.close();
  });

  it("fits a phone: nothing but long names and tables scrolls sideways, its charts at a height to read", async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    const canvas = page.locator("[data-picture='max-vio'] canvas");
    await expect.poll(async () => (await canvas.boundingBox())!.width).toBeLessThan(390);
    for (const chart of await page.locator(".chart").all()) {
      expect((await chart.boundingBox())!.height).toBeGreaterThan(200);
      expect(await colorsOf(chart)).toBeGreaterThan(20);
    }
    await page.setViewportSize({ width: 1280, height: 900 });
    // The chart follows its place in the page, and has all the width that it was laid out for.
    await expect.poll(async () => (await canvas.boundingBox())!.width).toBeGreaterThanOrEqual(pictureWidth);
  });

  it("is light on paper, its pictures and its tables whole", async () => {
    await page.emulateMedia({ media: "print", colorScheme: "dark" });
    // A4 between its margins, at 96 pixels an inch: 680 upright, 1009 turned.
    await page.setViewportSize({ width: 680, height: 1000 });
    const chart = page.locator(".chart").first();
    await expect.poll(() => cornerOf(chart)).toBe(themes.light.background);
    expect((await chart.boundingBox())!.width).toBeLessThanOrEqual(680);
    expect(await page.locator("button:visible:not(table button)").count()).toBe(0);
    // The table stands on a sheet of its own, turned: numbers have no break in them, and none is cut.
    await page.setViewportSize({ width: 1009, height: 680 });
    const region = page.getByRole("region", { name: "All figures, table" });
    expect(await region.evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)).toBe(0);
    const lines = await region.locator("td").evaluateAll((cells) => {
      const range = document.createRange();
      return Math.max(
        ...cells.map((cell) => {
          range.selectNodeContents(cell);
          return range.getClientRects().length;
        }),
      );
    });
    expect(lines).toBe(1);
    await page.setViewportSize({ width: 680, height: 1000 });
    // Drawings, which print as they are; a canvas prints as whatever it happens to hold.
    expect(await page.locator(".paper svg").count()).toBe(pictures.length);
    expect(await page.locator(".chart canvas:visible").count()).toBe(0);
    await page.emulateMedia({ media: null, colorScheme: "dark" });
    const pdf = (await page.pdf({ preferCSSPageSize: true })).toString("latin1");
    const sheets = Array.from(pdf.matchAll(/\/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]/g), ([, width, height]) =>
      Number(width) > Number(height) ? "landscape" : "portrait",
    );
    expect(sheets[0]).toBe("portrait");
    expect(sheets.at(-2)).toBe("landscape");
    expect(sheets.at(-1)).toBe("portrait");
    await expect.poll(() => cornerOf(chart)).toBe(themes.dark.background);
    await page.emulateMedia({ media: null, colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  it.skipIf(spawnSync("pdftoppm", ["-v"]).error !== undefined)(
    "has the cells of its heat maps on paper, idle ones too (skipped without pdftoppm)",
    async () => {
      const folder = temporaryFolder();
      const file = path.join(folder, "page.pdf");
      await page.emulateMedia({ media: null, colorScheme: "dark" });
      await page.pdf({ path: file, preferCSSPageSize: true });
      await page.emulateMedia({ media: null, colorScheme: "light" });
      expect(spawnSync("pdftoppm", ["-r", "60", file, path.join(folder, "sheet")]).status).toBe(0);
      const wanted = [themes.light.scale[1], themes.light.scale[2], themes.light.idle].map((color) =>
        Buffer.from(color.slice(1), "hex"),
      );
      const sheets = readdirSync(folder).filter((name) => name.endsWith(".ppm"));
      // On one sheet, that of the heat maps: many pixels near each colour of its scale that is asked for.
      const counts = sheets.map((name) => {
        const bytes = readFileSync(path.join(folder, name));
        const [header] = /^P6\s+\d+\s+\d+\s+255\s/.exec(bytes.toString("latin1", 0, 64))!;
        const near = wanted.map(() => 0);
        for (let at = header.length; at + 2 < bytes.length; at += 3) {
          wanted.forEach((color, i) => {
            if (color.every((channel, c) => Math.abs(bytes[at + c] - channel) < 20)) near[i] += 1;
          });
        }
        return near;
      });
      expect(counts.filter((near) => near.every((count) => count > 50))).toHaveLength(1);
    },
  );

  it("recommends what the sweep did in the terminal, with the command that runs it again", async () => {
    const section = page.locator("section[aria-labelledby='recommendation']");
    const text = (await section.textContent())!;
    for (const line of recommended.split("\n").filter((line) => line.startsWith("  ")))
      expect(text).toContain(line.trim());
    expect(await section.locator("code").textContent()).toMatch(
      /^moesim run \S+sweep\.json --set routers\.alf-lb\.updateRate=0\.0?1$/,
    );
  });

  it.each(["light", "dark"] as const)("has no accessibility fault that axe finds, %s", async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    expect(await faultsOf(page)).toEqual([]);
  });

  it("is light or dark as the system is, until its button says otherwise, pictures included", async () => {
    await page.emulateMedia({ colorScheme: "light" });
    const chart = page.locator(".chart").first();
    const button = page.getByRole("button", { name: "Dark theme" });
    const looks = async () => [
      await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor),
      await cornerOf(chart),
      await button.getAttribute("aria-pressed"),
    ];
    const light = ["rgb(255, 255, 255)", themes.light.background, "false"];
    const dark = ["rgb(13, 17, 23)", themes.dark.background, "true"];
    expect(await looks()).toEqual(light);
    await page.emulateMedia({ colorScheme: "dark" });
    expect(await looks()).toEqual(dark);
    await button.click();
    expect(await looks()).toEqual(light);
    await button.press("Enter");
    expect(await looks()).toEqual(dark);
    await page.emulateMedia({ colorScheme: "light" });
    expect(await looks()).toEqual(dark);
  });

  it("says the findings where no script runs", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const plain = await context.newPage();
    await plain.goto(pathToFileURL(report).href);
    for (const { finding } of pictures) expect(await plain.getByText(finding).first().isVisible()).toBe(true);
    expect(await plain.locator(".note:visible").count()).toBe(pictures.length);
    expect(await plain.locator(".needs-script:visible").count()).toBe(0);
    await context.close();
  });

  it("opens a comparison, its pictures drawn and its hostile names text", async () => {
    const file = path.join(hostileResults, "compare.html");
    expect(moesim(["compare", hostileResults, hostileResults, "--html", file, "--quiet"])).toMatchObject({
      code: 0,
      stderr: "",
    });
    const comparison = await open(file);
    for (const chart of await comparison.locator(".chart").all()) expect(await colorsOf(chart)).toBeGreaterThan(20);
    expect(await faultsOf(comparison)).toEqual([]);
    const heading = comparison.locator("tbody th", { hasText: hostile.labels[0] }).first();
    expect(await heading.textContent()).toBe(hostile.labels[0]);
    expect(await comparison.evaluate(() => "hacked" in window)).toBe(false);
    await comparison.close();
  });

  it("fits its window and a phone where it compares long names, beside which marks have room that scrolls", async () => {
    const file = path.join(hostileResults, "compare-others.html");
    expect(moesim(["compare", results, hostileResults, "--html", file, "--quiet"]).code).toBe(0);
    const comparison = await open(file);
    for (const width of [1280, 390]) {
      await comparison.setViewportSize({ width, height: 900 });
      expect(await comparison.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    }
    const chart = comparison.locator("[data-picture='compare-max_vio_global']");
    expect((await chart.boundingBox())!.width).toBeGreaterThanOrEqual(pictureWidth);
    expect(await comparison.locator(".scrolling", { has: chart }).getAttribute("tabindex")).toBe("0");
    await comparison.close();
  });

  it("has shown nothing on the console and asked for nothing but itself in all of this", () => {
    expect(problems).toEqual([]);
  });
});

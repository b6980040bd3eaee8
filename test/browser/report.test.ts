import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { PNG } from "pngjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostile, runHostileScenario } from "../support/hostile-scenario.ts";
import { moesim } from "../support/program.ts";
import { findChromium } from "./browser.ts";

const executablePath = findChromium();
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** How many different colours a picture of the screen has. */
function colorsOf(png: Buffer): number {
  const { data } = PNG.sync.read(png);
  return new Set(new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4)).size;
}

describe.skipIf(executablePath === undefined)("the report in a browser (skipped without Chromium)", () => {
  let browser: Browser;
  let report: string;

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
    const results = runHostileScenario();
    report = path.join(results, "report.html");
    expect(moesim(["report", results]).code).toBe(0);
  });
  afterAll(() => browser?.close());

  /** The report opened from disk; `problems` gathers what a console shows and what would be fetched. */
  async function open(options: BrowserContextOptions = {}): Promise<{ page: Page; problems: string[] }> {
    const problems: string[] = [];
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
    page.on("console", (message) => problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("request", (request) => {
      if (request.url() !== pathToFileURL(report).href && !request.url().startsWith("data:")) {
        problems.push(request.url());
      }
    });
    await page.goto(pathToFileURL(report).href);
    await page.waitForFunction(() => document.querySelectorAll(".chart canvas, .chart svg").length > 0);
    return { page, problems };
  }

  it("opens from disk without an error or a request, and every picture is drawn", async () => {
    const { page, problems } = await open();
    const charts = await page.locator(".chart").all();
    expect(charts.length).toBeGreaterThanOrEqual(6);
    for (const chart of charts) {
      await chart.scrollIntoViewIfNeeded();
      // Text with its smoothed edges alone has dozens; an empty chart has one colour.
      expect(colorsOf(await chart.screenshot())).toBeGreaterThan(20);
    }
    expect(problems).toEqual([]);
    await page.close();
  });

  it("keeps hostile text text, in the page and in what the pointer shows", async () => {
    const { page } = await open();
    expect(await page.title()).toBe(hostile.name);
    for (const label of hostile.labels) {
      expect(await page.locator("#summary-table tbody th", { hasText: label }).first().textContent()).toBe(label);
    }
    const chart = page.locator(".chart").first();
    await chart.scrollIntoViewIfNeeded();
    await chart.hover();
    // The chart itself is painted: text in its element is the tooltip's.
    await page.waitForFunction(
      (label) => document.querySelector(".chart")!.textContent.includes(label),
      hostile.labels[0],
    );
    expect(await page.evaluate(() => "hacked" in window)).toBe(false);
    expect(await page.locator("img, main script").count()).toBe(0);
    await page.close();
  });

  it("sorts the table by a column, up and down, by click and by keyboard", async () => {
    const { page } = await open();
    const header = page.locator("#summary-table thead th", { hasText: "max_vio_global" });
    const column = await header.evaluate((cell) => (cell as HTMLTableCellElement).cellIndex);
    const numbers = async () =>
      (await page.locator(`#summary-table tbody tr > :nth-child(${column + 1})`).allTextContents()).map(Number);
    const ascending = (await numbers()).toSorted((a, b) => a - b);
    await header.locator("button").click();
    expect(await numbers()).toEqual(ascending);
    expect(await header.getAttribute("aria-sort")).toBe("ascending");
    await header.locator("button").press("Enter");
    expect(await numbers()).toEqual(ascending.toReversed());
    expect(await header.getAttribute("aria-sort")).toBe("descending");
    await page.close();
  });

  it("is dark where the system is, and changes by its button, pictures included", async () => {
    const { page } = await open({ colorScheme: "dark" });
    const chart = page.locator(".chart").first();
    const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const corner = async () => Array.from(PNG.sync.read(await chart.screenshot()).data.subarray(0, 3));
    expect(await background()).toBe("rgb(13, 17, 23)");
    expect(await corner()).toEqual([13, 17, 23]);
    await page.locator("#theme-switch").click();
    expect(await background()).toBe("rgb(255, 255, 255)");
    expect(await corner()).toEqual([255, 255, 255]);
    await page.close();
  });

  it("fits a phone: nothing but tables scrolls sideways", async () => {
    const { page } = await open({ viewport: { width: 390, height: 800 } });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    await page.close();
  });

  it("opens a comparison without an error, its pictures drawn and its hostile names text", async () => {
    const results = path.dirname(report);
    const file = path.join(results, "compare.html");
    expect(moesim(["compare", results, results, "--html", file, "--quiet"])).toMatchObject({ code: 0, stderr: "" });
    const problems: string[] = [];
    const page = await browser.newPage();
    page.on("console", (message) => problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(error.message));
    await page.goto(pathToFileURL(file).href);
    for (const chart of await page.locator(".chart").all()) {
      await chart.scrollIntoViewIfNeeded();
      expect(colorsOf(await chart.screenshot())).toBeGreaterThan(20);
    }
    expect(await page.locator("tbody th", { hasText: hostile.labels[0] }).first().textContent()).toBe(
      hostile.labels[0],
    );
    expect(await page.evaluate(() => "hacked" in window)).toBe(false);
    expect(problems).toEqual([]);
    await page.close();
  });

  it.each(["light", "dark"] as const)("has no accessibility fault that axe finds, %s", async (colorScheme) => {
    const { page } = await open({ colorScheme });
    // The page's own policy lets no other script in, which is as it should be; the debugger's way is not bound by it.
    const session = await page.context().newCDPSession(page);
    await session.send("Runtime.evaluate", { expression: axeSource });
    const { result } = await session.send("Runtime.evaluate", {
      expression:
        "axe.run().then(({ violations }) => JSON.stringify(violations.map(({ id, nodes }) => [id, nodes[0].html])))",
      awaitPromise: true,
    });
    expect(JSON.parse(result.value as string)).toEqual([]);
    await page.close();
  });
});

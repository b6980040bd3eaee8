import { writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diagnoseRecording } from "../../src/core/diagnosis/diagnosis.ts";
import { openRecording } from "../../src/core/formats/recording.ts";
import { bytesSource } from "../../src/core/source.ts";
import { renderDiagnosis } from "../../src/page/diagnosis-page.tsx";
import { npyBytes } from "../support/npy.ts";
import { temporaryFolder } from "../support/program.ts";
import { randomLogits } from "../support/random-logits.ts";
import { faultsOf, findChromium } from "./browser.ts";

const executablePath = findChromium();

/** A page on three layers of 20 steps: one that prefers few experts, more and more, one with an expert disabled, one balanced. */
async function writePage(): Promise<string> {
  const [steps, layers, tokens, experts] = [20, 3, 64, 8];
  const logits = randomLogits("page", steps * layers * tokens, experts).map((logit, entry) => {
    const [layer, expert] = [Math.floor(entry / experts / tokens) % layers, entry % experts];
    if (layer === 1 && expert === 3) return Number.NEGATIVE_INFINITY;
    return layer === 0 ? logit + 2 * Math.cos(expert) : logit;
  });
  const bytes = new Uint8Array(npyBytes([steps, layers, tokens, experts], logits));
  const recording = await openRecording(bytesSource(bytes, "<b>logits & co.npy"));
  const diagnosis = await diagnoseRecording(recording, { topK: 2, gpus: 4 });
  const file = path.join(temporaryFolder(), "diagnosis.html");
  writeFileSync(file, renderDiagnosis(diagnosis));
  return file;
}

describe.skipIf(executablePath === undefined)("the page of a diagnosis in a browser (skipped without Chromium)", () => {
  let browser: Browser;
  let file: string;
  /** What the console of a page shows. */
  const problems: string[] = [];

  beforeAll(async () => {
    [browser, file] = await Promise.all([
      chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"], timeout: 0 }),
      writePage(),
    ]);
  });
  afterAll(() => browser?.close());

  async function open(options: BrowserContextOptions = {}): Promise<Page> {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: "light", ...options });
    page.on("console", (message) => problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(error.message));
    await page.goto(pathToFileURL(file).href);
    await page.locator(".chart canvas").first().waitFor();
    return page;
  }

  it("says the verdict first, and has a table for each question, whose rows are sorted by a click", async () => {
    const page = await open();
    expect(await page.locator("h1").textContent()).toBe("Diagnosis of <b>logits & co.npy");
    const headings = await page.locator("h2").allTextContents();
    expect(headings.slice(0, 3)).toEqual(["Verdict", "Layers", "Pictures"]);
    expect(headings).toContain("Fitted on A, judged on B");
    expect(headings).toContain("Placement");
    const layers = page.locator("#layers-table tbody th");
    expect((await layers.allTextContents())[0]).toBe("0");
    await page.locator("#layers-table thead").getByRole("button", { name: "idle experts" }).click();
    await page.locator("#layers-table thead").getByRole("button", { name: "layer" }).click();
    expect(await layers.allTextContents()).toEqual(["0", "1", "2"]);
    await page.close();
  });

  it("names expert and layer of a cell of the heat map", async () => {
    const page = await open();
    const chart = page.locator("[data-picture='loads']");
    await chart.scrollIntoViewIfNeeded();
    await chart.hover({ position: { x: 70, y: 30 } });
    await page.waitForFunction(() => document.querySelector("[data-picture='loads']")!.textContent !== "");
    expect(await chart.textContent()).toMatch(/^expert 0layer 0load \d+ % of the layer's mean$/);
    await page.close();
  });

  it.each([
    [1280, "light"],
    [1280, "dark"],
    [390, "light"],
  ] as const)("has nothing that axe finds, and fits, at %i pixels, %s", async (width, colorScheme) => {
    const page = await open({ viewport: { width, height: 900 }, colorScheme });
    expect(await faultsOf(page)).toEqual([]);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);
    await page.close();
  });

  it("says below a table that it is wider than its box, as the window has it now", async () => {
    const page = await open();
    const wide = () => page.locator(".scroll").evaluateAll((boxes) => boxes.map((b) => b.scrollWidth > b.clientWidth));
    const hinted = () => page.locator(".scroll-hint").evaluateAll((all) => all.map((hint) => hint.checkVisibility()));
    const found: boolean[] = [];
    for (const width of [1280, 390, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      await expect.poll(hinted).toEqual(await wide());
      found.push(...(await wide()));
    }
    expect(new Set(found)).toEqual(new Set([true, false]));
    await page.close();
  });

  it("shows no message in the console", () => {
    expect(problems).toEqual([]);
  });
});

import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { PNG } from "pngjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { simulate } from "../../src/index.ts";
import { type ExploreServer, serveSite } from "../../src/node/explore-server.ts";
import { tours } from "../../src/page/explore/tours.ts";
import { addressOf, type View, viewOf, type WrittenScenario } from "../../src/page/explore/view.ts";
import { projectPath, readCsv, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";
import { faultsOf, findChromium } from "./browser.ts";

const executablePath = findChromium();
const recording = projectPath("scenarios/traces/balanced.npy");

/**
 * Browsers and Node take `Math.log`, `Math.exp` and `Math.cos` from different versions of V8, whose last digits differ; loads
 * and choices are the same.
 */
const tolerance = 1e-12;

const small: WrittenScenario = {
  name: "made-on-the-page",
  seed: 3,
  tokens: 256,
  experts: 16,
  topK: 2,
  regret: { every: 1 },
  stream: { kind: "drift", rate: 0.1 },
  routers: [
    { kind: "topk" },
    { kind: "alf-lb", updateRate: 0.02 },
    { kind: "sinkhorn", epsilon: 0.2 },
    { kind: "ssr" },
  ],
};

/** Serves the site from a folder of a server without headers of its own, as any static host does. */
function serveStatically(): Promise<{ server: Server; url: string }> {
  const types: Record<string, string> = {
    html: "text/html",
    js: "text/javascript",
    css: "text/css",
    wasm: "application/wasm",
  };
  const server = createServer((request, response) => {
    const name = /^\/some\/folder\/([\w.-]*)$/.exec(request.url ?? "")?.[1];
    try {
      const file = name === "" ? "index.html" : name!;
      const bytes = readFileSync(projectPath("build/site", file));
      response.writeHead(200, { "Content-Type": types[path.extname(file).slice(1)] }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve({ server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/some/folder/` });
    });
  });
}

it("is less than 1.5 MB, with the licences of what is inside", () => {
  const files = readdirSync(projectPath("build/site"));
  const bytes = files.reduce((sum, name) => sum + statSync(projectPath("build/site", name)).size, 0);
  expect(bytes).toBeLessThan(1_500_000);
  expect(readFileSync(projectPath("build/site/explore-worker.js"), "utf8")).toContain("/*! zod: LICENSE");
});

/** A machine under load takes its time. */
const poll = <Value>(read: () => Value | Promise<Value>) => expect.poll(read, { timeout: 60_000 });

describe.skipIf(executablePath === undefined)("explore in a browser (skipped without Chromium)", () => {
  let browser: Browser;
  let server: ExploreServer;
  let site: Awaited<ReturnType<typeof serveStatically>>;
  let page: Page;
  /** What consoles show, and requests after a page has loaded. */
  const problems: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"], timeout: 0 });
    server = await serveSite([{ name: "given.npy", path: recording }], 0);
    site = await serveStatically();
    page = await open({ scenario: small, steps: 12 });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    site?.server.close();
  });

  /** A page at a view, with its pictures complete. */
  async function open(view: View | null, options: BrowserContextOptions = {}, url = site.url): Promise<Page> {
    const opened = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: "light", ...options });
    opened.on("console", (message) => problems.push(message.text()));
    opened.on("pageerror", (error) => problems.push(error.message));
    await opened.goto(view === null ? url : `${url}#${await addressOf(view)}`);
    await opened.locator("#loads .bars").first().waitFor();
    opened.on("request", (request) => {
      if (!request.url().startsWith("blob:")) problems.push(request.url());
    });
    if (view !== null) await shows(opened, view.steps);
    return opened;
  }

  /** Follows a link to another view on a page that is open. */
  async function go(to: Page, view: View): Promise<void> {
    await to.evaluate(
      (hash) => {
        location.hash = hash;
      },
      await addressOf(view),
    );
    await shows(to, view.steps);
  }

  /** What the page says beside its pictures. */
  const said = () => page.locator(".state").textContent();

  /** Waits until so many steps are shown. */
  async function shows(of: Page, steps: number): Promise<void> {
    await of.waitForFunction((step) => document.querySelector("output")?.textContent === step, String(steps - 1));
  }

  /** Clicks a button and returns the name and the text of the file that it saves. */
  async function saved(of: Page, button: string | RegExp): Promise<{ name: string; text: string }> {
    const [download] = await Promise.all([
      of.waitForEvent("download"),
      of.getByRole("button", { name: button, exact: typeof button === "string" }).click(),
    ]);
    return { name: download.suggestedFilename(), text: readFileSync(await download.path(), "utf8") };
  }

  /** The cells of a router's row in the table of numbers, by the text of their headers. */
  async function numbersOf(of: Page, router: string): Promise<Record<string, string>> {
    const headers = await of.locator(".step-table thead th").allTextContents();
    const row = of.locator(".step-table tbody tr", { has: of.locator("th", { hasText: new RegExp(`^${router}$`) }) });
    const cells = await row.locator("th, td").allTextContents();
    return Object.fromEntries(headers.map((header, index) => [header.trim(), cells[index].trim()]));
  }

  it("simulates in any folder of any server, with nothing that axe finds, light, dark and on a phone", async () => {
    for (const id of ["loads", "max-vio", "idle-fraction", "regret", "plan", "frontier", "prices"]) {
      expect(await page.locator(`#${id}`).isVisible()).toBe(true);
    }
    expect(await faultsOf(page)).toEqual([]);
    await page.getByRole("button", { name: "Dark theme" }).click();
    expect(await faultsOf(page)).toEqual([]);
    await page.getByRole("button", { name: "Dark theme" }).click();
    const phone = await open(
      { scenario: small, steps: 5 },
      { viewport: { width: 390, height: 844 }, colorScheme: "dark" },
    );
    expect(await faultsOf(phone)).toEqual([]);
    await phone.locator(".controls summary >> nth=0").click();
    for (const width of [390, 320]) {
      await phone.setViewportSize({ width, height: 844 });
      await poll(() => phone.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    }
    await phone.close();
  });

  it("draws what the simulator computes: heat maps that are not blank, and the same numbers as Node", async () => {
    for (const canvas of await page.locator(".heat-map canvas").all()) {
      const { data } = PNG.sync.read(await canvas.screenshot());
      expect(new Set(new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4)).size).toBeGreaterThan(2);
    }
    const { runs } = await simulate({ ...small, steps: 12 } as unknown as Parameters<typeof simulate>[0]);
    for (const { name, steps } of runs) {
      const found = await numbersOf(page, name);
      expect(Number(found.MaxVio)).toBeCloseTo(steps[11].maxVio!, 3);
      expect(Number(found.score)).toBeCloseTo(steps[11].score!, 3);
    }
  });

  it("trains a gate in the tab, with the loss as a line", async () => {
    const training: View = {
      steps: 6,
      scenario: {
        ...small,
        tokens: 64,
        experts: 8,
        regret: { every: 0 },
        stream: { kind: "training" },
        routers: [{ kind: "topk" }],
      },
    };
    const trained = await open(training);
    expect(await trained.locator("#task-loss .said").textContent()).toMatch(/^On the last step: topk \d/);
    await trained.close();
  });

  it("saves a scenario that the command line computes to the same digits, and the files that it writes", async () => {
    const { name, text } = await saved(page, "scenario.yaml");
    expect(name).toBe("made-on-the-page.yaml");
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, name), text);
    const { code, stderr } = await runInProcess(["run", name, "--quiet", "--out", "results"], folder);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const file of ["summary.csv", "steps.csv"] as const) {
      const page_ = await saved(page, file);
      writeFileSync(path.join(folder, file), page_.text);
      const [ours, theirs] = [path.join(folder, file), path.join(folder, "results", file)].map(readCsv);
      expect(ours.map((row) => Object.keys(row))).toEqual(theirs.map((row) => Object.keys(row)));
      for (const [index, row] of ours.entries()) {
        for (const [column, cell] of Object.entries(row)) {
          const expected = theirs[index][column];
          if (cell === expected) continue;
          const [found, right] = [Number(cell), Number(expected)];
          expect(Math.abs(found - right), `${file} ${column}`).toBeLessThan(tolerance * Math.max(1, Math.abs(right)));
          expect(Number.isInteger(right)).toBe(false);
        }
      }
    }
  });

  it("saves its pictures as SVG with the page's colours", async () => {
    const { name, text } = await saved(page, /^Save “Loads of the experts/);
    expect(name).toBe("loads.svg");
    expect(text).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(text).toContain("<title>Loads of the experts, step 11</title>");
    expect(text).not.toContain("var(");
    const heat = await saved(page, "Save the heat map of sinkhorn as SVG");
    expect(heat.text).toContain("data:image/png;base64,");
  });

  it("routes a recording that is dropped, as the command line does, and a scenario file", async () => {
    const dropping = await open(null);
    const transfer = await dropping.evaluateHandle(
      (base64) => {
        const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "dropped.npy"));
        return data;
      },
      readFileSync(recording, "base64"),
    );
    await dropping.dispatchEvent("body", "drop", { dataTransfer: transfer });
    const { runs, scenario } = await simulate({
      name: "dropped",
      topK: 2,
      regret: { every: 0 },
      stream: { kind: "trace", path: recording },
      routers: [{ kind: "topk" }, { kind: "alf-lb", updateRate: 0.01 }],
    });
    await shows(dropping, scenario.steps);
    for (const { name, steps } of runs) {
      const found = await numbersOf(dropping, name);
      expect(Number(found.MaxVio)).toBeCloseTo(steps.at(-1)!.maxVio!, 3);
    }
    await dropping.locator("input[type=file]").setInputFiles({
      name: "question.yaml",
      mimeType: "text/plain",
      buffer: Buffer.from(
        "name: question\nsteps: 7\ntokens: 64\nexperts: 8\nstream: { kind: clusters }\nrouters: [{ kind: hash }]\nseeds: [1, 2]\n",
      ),
    });
    await shows(dropping, 7);
    expect(await dropping.locator(".step-table tbody th").allTextContents()).toEqual(["hash"]);
    expect(await dropping.locator(".state").textContent()).toContain("sweep and seeds are left out");
    // The scenario counts, wherever it stands among the files, and finds the recording without its folder.
    await dropping.locator("input[type=file]").setInputFiles([
      { name: "beside.npy", mimeType: "", buffer: readFileSync(recording) },
      {
        name: "replay.yaml",
        mimeType: "text/plain",
        buffer: Buffer.from(
          "name: replay\ntopK: 2\nstream: { kind: trace, path: traces/beside.npy }\nrouters: [{ kind: ssr, select: { mode: every, n: 2 } }]\n",
        ),
      },
    ]);
    await shows(dropping, scenario.steps);
    expect(await dropping.locator(".step-table tbody th").allTextContents()).toEqual(["ssr"]);
    // Plans are those of the even steps.
    const isPlan = (scenario.steps - 1) % 2 === 0;
    expect(await dropping.locator(".heat-map p").textContent()).toContain(isPlan ? "plan" : "selection");
    await dropping.locator("input[type=file]").setInputFiles({
      name: "picture.npy",
      mimeType: "image/png",
      buffer: Buffer.from("no numbers"),
    });
    // What was shown stays, and one place says what is wrong.
    await poll(() => dropping.locator(".state").textContent()).toContain("picture.npy");
    expect(await dropping.locator(".problem").count()).toBe(0);
    expect(await dropping.locator(".state p").count()).toBe(1);
    await shows(dropping, scenario.steps);
    expect(await dropping.locator(".step-table tbody th").allTextContents()).toEqual(["ssr"]);
    expect(await dropping.locator("option", { hasText: "picture.npy" }).count()).toBe(0);
    expect((await viewOf(await dropping.evaluate(() => location.hash)))!.scenario.name).toBe("replay");
    await dropping.close();
  });

  it("reads the file that the command was given", async () => {
    const scenario = { ...small, experts: undefined, tokens: undefined, stream: { kind: "trace", path: "given.npy" } };
    const given = await open({ scenario: JSON.parse(JSON.stringify(scenario)), steps: 3 }, {}, server.url);
    expect(await given.locator(".problem").count()).toBe(0);
    await given.close();
  });

  it("keeps the scenario in the address, and says what is wrong with one that it cannot read", async () => {
    const view = { scenario: small, steps: 12 };
    // Not the same text: browsers pack as well as they can, each in its own way.
    const held = async () => viewOf(await page.evaluate(() => location.hash));
    await poll(held).toEqual(view);
    await page.getByLabel("seed", { exact: true }).fill("9");
    await shows(page, 12);
    const changed = { ...view, scenario: { ...small, seed: 9 } };
    await poll(held).toEqual(changed);
    for (const [hash, sentence] of [
      ["#v0=abc", "written by another version of explore (v0"],
      ["#v1=AAAA", "damaged"],
      ["#somewhere", "no scenario that explore can read"],
    ]) {
      await page.evaluate((to) => {
        location.hash = to;
      }, hash);
      await poll(() => page.locator(".state").textContent()).toContain(sentence);
    }
    await page.evaluate(
      (to) => {
        location.hash = to;
      },
      await addressOf({
        steps: 4,
        scenario: { ...small, routers: [{ kind: "topk", label: "<img src=x onerror=alert(1)>" }] },
      }),
    );
    await shows(page, 4);
    expect(await page.locator("img").count()).toBe(0);
    await page.evaluate(
      (to) => {
        location.hash = to;
      },
      await addressOf({ steps: 4, scenario: { ...small, topK: 99 } }),
    );
    await poll(() => page.locator(".problem").textContent()).toContain("topK: 99 is more than the 16 experts");
    expect(problems).toEqual([]);
  });

  it("plays, pauses, steps and resets, and tells the keyboard the numbers of a place", async () => {
    await go(page, { scenario: small, steps: 5 });
    await page.getByRole("button", { name: "Step", exact: true }).click();
    await shows(page, 6);
    await page.getByRole("combobox", { name: "Speed" }).selectOption("30");
    await page.getByRole("button", { name: "Play" }).press("Enter");
    await poll(async () => Number(await page.locator("output").textContent())).toBeGreaterThan(12);
    await page.getByRole("button", { name: "Pause" }).press("Enter");
    await page.getByRole("button", { name: "Reset" }).click();
    await shows(page, 1);
    const loads = page.getByRole("slider", { name: /^Loads of the experts/ });
    await loads.focus();
    await page.keyboard.press("End");
    expect(await loads.getAttribute("aria-valuetext")).toMatch(/^Expert 15: topk \d+ pairs \(.*× the mean\), alf-lb/);
    await page.keyboard.press("ArrowLeft");
    expect(await page.locator("#loads .said").textContent()).toMatch(/^Expert 14: /);
  });

  it("proves the frontier, on which the exact router lies, and the best bias", async () => {
    const view: View = {
      steps: 6,
      scenario: { ...small, scores: "softmax", routers: [{ kind: "base" }, { kind: "alf-lb" }] },
    };
    await go(page, view);
    await page.getByRole("button", { name: "Prove" }).click();
    await poll(() => page.locator("#prices figcaption").textContent()).toContain("proven");
    const frontier = page.getByRole("slider", { name: /^Score against balance/ });
    await frontier.focus();
    await page.keyboard.press("Home");
    const texts = new Set<string>();
    for (let place = 0; place < 24; place++) {
      texts.add((await frontier.getAttribute("aria-valuetext"))!);
      await page.keyboard.press("ArrowRight");
    }
    const base = Array.from(texts).find((text) => text.startsWith("base: "))!;
    // Within what four digits show: BASE is optimal at the capacity of perfect balance.
    expect(Number(/At most ([\d.e-]+) below the best of its balance/.exec(base)![1])).toBeLessThan(1e-4);
    expect(Array.from(texts).filter((text) => text.startsWith("Frontier: ")).length).toBeGreaterThan(4);
  });

  it("answers a new question though a step of the one before takes long, and never freezes", async () => {
    const slow: View = {
      steps: 40,
      scenario: {
        ...small,
        tokens: 4096,
        experts: 256,
        topK: 8,
        regret: { every: 0 },
        routers: [{ kind: "scot", maxIterations: 10_000, tolerance: 0 }],
      },
    };
    const opened = await open({ scenario: small, steps: 2 });
    await opened.evaluate(
      (to) => {
        location.hash = to;
      },
      await addressOf(slow),
    );
    await poll(() => opened.locator(".state").textContent()).toContain("Working on the first step");
    const longest = await opened.evaluate(async () => {
      let [last, most] = [performance.now(), 0];
      for (let frame = 0; frame < 30; frame++) {
        const now = await new Promise<number>(requestAnimationFrame);
        most = Math.max(most, now - last);
        last = now;
      }
      return most;
    });
    // One step of it takes many seconds.
    expect(longest).toBeLessThan(2000);
    await opened.evaluate(
      (to) => {
        location.hash = to;
      },
      await addressOf({ scenario: { ...small, name: "quick" }, steps: 3 }),
    );
    await shows(opened, 3);
    expect(await opened.locator(".problem").count()).toBe(0);
    await opened.close();
  });

  it("keeps up with a slider that is held, and ends at its last value", async () => {
    const routers = [{ kind: "topk" }, { kind: "alf-lb" }, { kind: "sinkhorn", epsilon: 0.5 }, { kind: "ssr" }];
    const view: View = { steps: 4, scenario: { ...small, tokens: 1024, experts: 64, regret: { every: 0 }, routers } };
    await go(page, view);
    const pictures = await page.evaluate(async () => {
      const slider = Array.from(document.querySelectorAll<HTMLInputElement>("input[type=range]")).find(
        ({ labels }) => labels?.[0]?.textContent === "rate",
      )!;
      let pictures = 0;
      const observer = new MutationObserver(() => {
        pictures += 1;
      });
      const bars = document.querySelector("#loads")!;
      observer.observe(bars, { subtree: true, attributes: true, attributeFilter: ["d"] });
      const start = performance.now();
      while (pictures < 30 && performance.now() - start < 15_000) {
        await new Promise(requestAnimationFrame);
        slider.value = String(400 + (Math.round((performance.now() - start) / 10) % 200));
        slider.dispatchEvent(new Event("input", { bubbles: true }));
      }
      slider.value = "300";
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      return pictures;
    });
    // A second's worth on a quiet machine of two cores; the first ones wait for the compilers.
    expect(pictures).toBeGreaterThanOrEqual(30);
    await shows(page, 4);
    const rate = Number(await page.getByLabel("rate, as a number", { exact: true }).inputValue());
    const { runs } = await simulate({
      ...view.scenario,
      steps: 4,
      stream: { kind: "drift", rate },
    } as unknown as Parameters<typeof simulate>[0]);
    await poll(async () => Number((await numbersOf(page, "topk")).MaxVio)).toBeCloseTo(runs[0].steps[3].maxVio!, 1);
  });

  // On a machine that much else loads, a slider of the test before can still be answered.
  it("starts a worker that crashes again, and says so", { retry: 2 }, async () => {
    await go(page, { scenario: small, steps: 8 });
    const crash = () =>
      page.workers()[0].evaluate(() => {
        setTimeout(() => {
          throw new Error("out of luck");
        });
      });
    await crash();
    await poll(said).toContain("out of luck");
    expect(await said()).toContain("was started again");
    await page.getByRole("button", { name: "Step", exact: true }).click();
    await shows(page, 9);
    expect(problems.splice(0).every((text) => text.includes("out of luck"))).toBe(true);
  });

  it("works without a network once it is loaded, and goes back and forward in its history", async () => {
    await page.context().setOffline(true);
    for (const steps of [6, 7]) await go(page, { scenario: small, steps });
    await page.goBack();
    await shows(page, 6);
    await page.goForward();
    await shows(page, 7);
    await page.context().setOffline(false);
  });

  it("says that a scenario is too long for a link, and still saves it", async () => {
    const scenario = { ...small, name: "long", description: "x".repeat(70_000), stream: { kind: "drift", rate: 0.1 } };
    await page.locator("input[type=file]").setInputFiles({
      name: "long.json",
      mimeType: "",
      buffer: Buffer.from(JSON.stringify({ ...scenario, steps: 3 })),
    });
    await poll(() => page.locator(".downloads").textContent()).toContain("A link would be too long");
    expect(await page.evaluate(() => location.hash)).toBe("");
    expect(await page.getByRole("button", { name: "Copy the link" }).count()).toBe(0);
    expect((await saved(page, "scenario.yaml")).text).toContain("x".repeat(70));
  });

  it("cuts a recording of 200 MB that has no steps, without reading it whole", async () => {
    const rows = 800_000;
    for (const worker of page.workers()) {
      await worker.evaluate(() => {
        const watched = globalThis as unknown as { largestRead: number };
        watched.largestRead = 0;
        const { arrayBuffer } = Blob.prototype;
        Blob.prototype.arrayBuffer = function (this: Blob) {
          watched.largestRead = Math.max(watched.largestRead, this.size);
          return arrayBuffer.call(this);
        };
      });
    }
    await page.evaluate((rows) => {
      const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, 64), }`.padEnd(117);
      const start = new Uint8Array(128);
      start.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 118, 0]);
      start.set(new TextEncoder().encode(`${header}\n`), 10);
      const part = new Float32Array(64 * 8000).map((_, at) => Math.sin(at));
      const data = new DataTransfer();
      data.items.add(new File([start, ...Array.from({ length: rows / 8000 }, () => part)], "large.npy"));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }, rows);
    await poll(said).toContain("it is cut into batches of 1024 tokens");
    await poll(() => page.locator(".step-table").textContent()).toContain("topk");
    const largest = await Promise.all(
      page
        .workers()
        .map((worker) => worker.evaluate(() => (globalThis as unknown as { largestRead: number }).largestRead)),
    );
    expect(Math.max(...largest)).toBeGreaterThan(0);
    expect(Math.max(...largest)).toBeLessThan(10e6);
    // Of two tabs each has its own scenario, and what one loaded the other does not know.
    const stream = async () => (await viewOf(await page.evaluate(() => location.hash)))?.scenario.stream;
    await poll(stream).toEqual({ kind: "trace", path: "large.npy", batchTokens: 1024 });
    const held = await page.evaluate(() => location.hash.slice(1));
    const other = await browser.newPage();
    await other.goto(`${site.url}#${held}`);
    await other.locator(".problem").waitFor();
    expect(await other.locator(".problem").textContent()).toContain("large.npy: this file is not loaded");
    await go(other, { scenario: small, steps: 2 });
    expect(await page.evaluate(() => location.hash.slice(1))).toBe(held);
    await other.close();
  });

  it("is used by the keyboard alone, with reduced motion, and has targets for fingers", async () => {
    const context = { viewport: { width: 390, height: 844 }, reducedMotion: "reduce", hasTouch: true } as const;
    const phone = await open(null, context, `${site.url}#cut-off`);
    expect(await phone.locator(".state").textContent()).toContain("no scenario that explore can read");
    expect(await phone.evaluate(() => document.getAnimations().length)).toBe(0);
    expect(await phone.locator(".pictures").evaluate((of) => getComputedStyle(of).transitionDuration)).toBe("0s");
    const active = () => phone.evaluate(() => document.activeElement?.textContent ?? "");
    for (let places = 0; places < 60 && (await active()) !== "Scenario"; places++) await phone.keyboard.press("Tab");
    await phone.keyboard.press("Enter");
    const small = await phone.evaluate(() =>
      Array.from(document.querySelectorAll("button, select, input, summary"))
        .filter((of) => of.checkVisibility())
        .map((of) => ({ text: of.outerHTML.slice(0, 100), box: of.getBoundingClientRect() }))
        .filter(({ box }) => Math.min(box.width, box.height) < 24)
        .map(({ text }) => text),
    );
    expect(small).toEqual([]);
    for (let places = 0; places < 60 && (await active()) !== "steps.csv"; places++) {
      await phone.keyboard.press("Shift+Tab");
    }
    const [download] = await Promise.all([phone.waitForEvent("download"), phone.keyboard.press("Enter")]);
    expect(download.suggestedFilename()).toBe("steps.csv");
    await phone.close();
  });

  it("has five tours of three sentences, each a scenario that it can simulate", async () => {
    const touring = await open(null);
    for (const { title, view, sentences } of tours) {
      await touring.getByRole("button", { name: title }).click();
      expect(await touring.locator(".tour li").allTextContents()).toEqual(sentences);
      const routers = () => touring.locator(".step-table tbody th").allTextContents();
      await poll(routers).toEqual(view.scenario.routers.map(({ kind, label }) => label ?? kind));
      await shows(touring, view.steps);
      expect(await touring.locator(".problem").count()).toBe(0);
    }
    await touring.close();
    expect(problems).toEqual([]);
  });
});

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
    const playing = await open({ scenario: small, steps: 5 });
    await playing.getByRole("button", { name: "Step", exact: true }).click();
    await shows(playing, 6);
    await playing.getByRole("combobox", { name: "Speed" }).selectOption("30");
    await playing.getByRole("button", { name: "Play" }).press("Enter");
    await poll(async () => Number(await playing.locator("output").textContent())).toBeGreaterThan(12);
    await playing.getByRole("button", { name: "Pause" }).press("Enter");
    await playing.getByRole("button", { name: "Reset" }).click();
    await shows(playing, 1);
    const loads = playing.getByRole("slider", { name: /^Loads of the experts/ });
    await loads.focus();
    await playing.keyboard.press("End");
    expect(await loads.getAttribute("aria-valuetext")).toMatch(/^Expert 15: topk \d+ pairs \(.*× the mean\), alf-lb/);
    await playing.keyboard.press("ArrowLeft");
    expect(await playing.locator("#loads .said").textContent()).toMatch(/^Expert 14: /);
    await playing.close();
  });

  it("proves the frontier, on which the exact router lies, and the best bias", async () => {
    const view: View = {
      steps: 6,
      scenario: { ...small, scores: "softmax", routers: [{ kind: "base" }, { kind: "alf-lb" }] },
    };
    const proving = await open(view);
    await proving.getByRole("button", { name: "Prove" }).click();
    await poll(() => proving.locator("#prices figcaption").textContent()).toContain("proven");
    const frontier = proving.getByRole("slider", { name: /^Score against balance/ });
    await frontier.focus();
    await proving.keyboard.press("Home");
    const texts = new Set<string>();
    for (let place = 0; place < 24; place++) {
      texts.add((await frontier.getAttribute("aria-valuetext"))!);
      await proving.keyboard.press("ArrowRight");
    }
    const base = Array.from(texts).find((text) => text.startsWith("base: "))!;
    // Within what four digits show: BASE is optimal at the capacity of perfect balance.
    expect(Number(/At most ([\d.e-]+) below the best of its balance/.exec(base)![1])).toBeLessThan(1e-4);
    expect(Array.from(texts).filter((text) => text.startsWith("Frontier: ")).length).toBeGreaterThan(4);
    await proving.close();
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

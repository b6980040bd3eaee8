// Pictures per second of `moesim explore` while a slider is held, and how long it takes to answer. Needs `npm run build` and
// Chromium: node bench/explore.mjs
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { serveSite } from "../dist/node/explore-server.js";
import { addressOf } from "../dist/page/explore/view.js";

function print(line) {
  process.stdout.write(`${line}\n`);
}

const site = new URL("../build/site/", import.meta.url);
const bytes = readdirSync(site).reduce((sum, name) => sum + statSync(new URL(name, site)).size, 0);
print(`size of the site: ${(bytes / 1e6).toFixed(2)} MB`);

const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
const server = await serveSite([], 0);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

const sizes = { name: "bench", seed: 1, topK: 2, regret: { every: 0 }, stream: { kind: "clusters" } };
const mixed = [
  { kind: "topk" },
  { kind: "alf-lb", updateRate: 0.01 },
  { kind: "sinkhorn", epsilon: 0.5 },
  { kind: "ssr", select: { mode: "every", n: 5 } },
];

const traces = mkdtempSync(path.join(tmpdir(), "moesim-bench-"));

/** Milliseconds of a processor that the page and its worker take for a picture: the same on a busy machine. */
async function processorTimes(page, label) {
  const file = path.join(traces, "trace.json");
  await browser.startTracing(page, { path: file, categories: ["toplevel"] });
  const { pictures } = await hold(page, label);
  await browser.stopTracing();
  const { traceEvents } = JSON.parse(readFileSync(file, "utf8"));
  const threads = new Map(
    traceEvents.filter(({ name }) => name === "thread_name").map(({ pid, tid, args }) => [`${pid} ${tid}`, args.name]),
  );
  const timeOf = (thread) =>
    traceEvents
      .filter(
        ({ name, ph, pid, tid }) => ph === "X" && name.endsWith("RunTask") && threads.get(`${pid} ${tid}`) === thread,
      )
      .reduce((sum, { tdur = 0 }) => sum + tdur / 1000, 0) /
    (pictures * heldSeconds);
  return { page: timeOf("CrRendererMain"), worker: timeOf("DedicatedWorker thread") };
}

/** Opens the page at a view; resolves once its first picture is complete. */
async function open(scenario, steps) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(`${server.url}#${await addressOf({ scenario, steps })}`);
  await page.locator("#loads .bars").first().waitFor();
  await page.waitForTimeout(800);
  return page;
}

const heldSeconds = 2;

/** Moves the slider `label` for two seconds, on every frame of the screen, and counts how often the loads change. */
async function hold(page, label) {
  return page.evaluate(
    async ({ label, heldSeconds }) => {
      const slider = Array.from(document.querySelectorAll("input[type=range]")).find(
        ({ labels, ariaLabel }) => (labels[0]?.textContent ?? ariaLabel) === label,
      );
      let pictures = 0;
      let frames = 0;
      let longest = 0;
      const bars = document.querySelector("#loads");
      new MutationObserver(() => {
        pictures += 1;
      }).observe(bars, { subtree: true, attributes: true, attributeFilter: ["d"] });
      const [from, to] = [Number(slider.min), Number(slider.max)];
      const start = performance.now();
      let last = start;
      while (performance.now() - start < 1000 * heldSeconds) {
        const now = await new Promise(requestAnimationFrame);
        longest = Math.max(longest, now - last);
        last = now;
        frames += 1;
        const part = 0.5 + 0.4 * Math.sin((now - start) / 300);
        slider.value = String(from + part * (to - from));
        slider.dispatchEvent(new Event("input", { bubbles: true }));
      }
      const seconds = (performance.now() - start) / 1000;
      return { pictures: pictures / seconds, frames: frames / seconds, longest };
    },
    { label, heldSeconds },
  );
}

for (const [name, routers, labels] of [
  ["topk, alf-lb, sinkhorn, ssr", mixed, ["capacity factor", "exponent", "epsilon"]],
  [
    "topk, alf-lb, hash, expert-choice",
    ["topk", "alf-lb", "hash", "expert-choice"].map((kind) => ({ kind })),
    ["exponent"],
  ],
]) {
  const page = await open({ ...sizes, tokens: 1024, experts: 64, routers }, 60);
  for (const label of labels) {
    const { pictures, frames, longest } = await hold(page, label);
    print(
      `1024 × 64, ${name}; ${label} held: ${pictures.toFixed(1)} pictures a second, ` +
        `${frames.toFixed(1)} frames of the page, at most ${longest.toFixed(0)} ms apart`,
    );
    await page.waitForTimeout(500);
  }
  const times = await processorTimes(page, labels[0]);
  print(`  processor time of a picture: page ${times.page.toFixed(1)} ms, worker ${times.worker.toFixed(1)} ms`);
  await page.close();
}

// From the change of the seed to the picture of the one batch.
for (const kind of [
  "topk",
  "noisy-topk",
  "alf-lb",
  "aux-loss",
  "quantile",
  "expert-threshold",
  "sinkhorn",
  "ssr",
  "expert-choice",
  "hash",
  "random",
  "round-robin",
]) {
  const page = await open({ ...sizes, tokens: 4096, experts: 256, routers: [{ kind }] }, 1);
  const times = [];
  for (let seed = 2; seed < 7; seed++) {
    times.push(
      await page.evaluate(
        (seed) =>
          new Promise((resolve) => {
            const slider = Array.from(document.querySelectorAll("input[type=range]")).find(
              ({ labels }) => labels[0]?.textContent === "seed",
            );
            const said = document.querySelector("#frontier .said");
            const before = said.textContent;
            const start = performance.now();
            new MutationObserver((_, observer) => {
              if (said.textContent === before) return;
              observer.disconnect();
              resolve(performance.now() - start);
            }).observe(said, { subtree: true, characterData: true, childList: true });
            slider.value = String(seed);
            slider.dispatchEvent(new Event("input", { bubbles: true }));
          }),
        seed,
      ),
    );
  }
  times.sort((a, b) => a - b);
  print(`4096 × 256, ${kind}: answer after ${times[2].toFixed(0)} ms (median of 5, most ${times[4].toFixed(0)} ms)`);
  await page.close();
}
rmSync(traces, { recursive: true });
await browser.close();
await server.close();

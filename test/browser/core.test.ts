import { readFileSync } from "node:fs";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { describe, expect, it } from "vitest";
import { openRecording } from "../../src/core/formats/recording.ts";
import { type ScenarioInput, type SimulationResult, simulate } from "../../src/index.ts";
import { projectPath } from "../support/program.ts";
import { findChromium } from "./browser.ts";

type Engine = typeof import("../../src/browser.ts");

const executablePath = findChromium();
const npy = readFileSync(projectPath("scenarios/traces/balanced.npy"));

const routers = [
  { kind: "topk" },
  { kind: "alf-lb", updateRate: 0.01 },
  { kind: "ssr", select: { mode: "every", n: 2 } },
  { kind: "sinkhorn" },
  { kind: "base" },
] as const;
const sizes = { name: "anywhere", seed: 3, steps: 6, topK: 2, regret: { every: 1 }, routers };
const scenarios: Readonly<Record<string, ScenarioInput>> = {
  clusters: { ...sizes, tokens: 256, experts: 16, stream: { kind: "clusters" } },
  recorded: { ...sizes, stream: { kind: "trace", path: "balanced.npy" } },
};

/** All that `simulation` found, as JSON; times, which are never the same twice, and folders left out. */
function figuresOf({ runs }: SimulationResult): string {
  return JSON.stringify(runs.map(({ routeMs: _, trainMs: __, ...run }) => run));
}

/**
 * The largest relative difference between two numbers in the same place; infinite if anything else differs, such as a load, a
 * choice or a number that is missing. Not 0, since browsers and Node take `Math.log`, `Math.exp` and `Math.cos` from different
 * versions of V8, whose last digits differ.
 */
function farthest(found: unknown, expected: unknown): number {
  if (typeof found === "number" && typeof expected === "number") {
    if (found === expected) return 0;
    if (Number.isInteger(found) && Number.isInteger(expected)) return Number.POSITIVE_INFINITY;
    return Math.abs(found - expected) / Math.max(1, Math.abs(expected));
  }
  if (typeof found !== "object" || typeof expected !== "object" || found === null || expected === null) {
    return found === expected ? 0 : Number.POSITIVE_INFINITY;
  }
  const [ours, theirs] = [Object.entries(found), Object.entries(expected)];
  if (ours.length !== theirs.length) return Number.POSITIVE_INFINITY;
  return Math.max(
    0,
    ...ours.map(([key, value], index) =>
      key === theirs[index][0] ? farthest(value, theirs[index][1]) : Number.POSITIVE_INFINITY,
    ),
  );
}

describe.skipIf(executablePath === undefined)("the core in a browser", () => {
  it("computes what it does in Node, and reads a recording from a Blob", async () => {
    const { outputFiles } = await build({
      entryPoints: [projectPath("src/browser.ts")],
      bundle: true,
      platform: "browser",
      format: "iife",
      globalName: "moesim",
      write: false,
      logLevel: "error",
    });
    const browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage();
      await page.addScriptTag({ content: outputFiles[0].text });
      const kernels = readFileSync(projectPath("build/kernels.wasm"), "base64");
      const found = await page.evaluate(
        async ({ kernels, npy, scenarios }) => {
          const { moesim } = globalThis as unknown as { moesim: Engine };
          const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
          const blob = new Blob([bytesOf(npy)]);
          moesim.install({ kernels: bytesOf(kernels), files: new Map([["balanced.npy", blob]]) });
          const recording = await moesim.openRecording(moesim.blobSource(blob, "balanced.npy"));
          const reader = recording.layer(0);
          const values = new Float32Array(reader.tokens! * reader.columns);
          await reader.read(values, reader.tokens!);
          const figures: Record<string, string> = {};
          for (const [name, scenario] of Object.entries(scenarios)) {
            const { runs } = await moesim.simulate(scenario);
            figures[name] = JSON.stringify(runs.map(({ routeMs: _, trainMs: __, ...run }) => run));
          }
          return { description: recording.description, values: Array.from(values), figures };
        },
        { kernels, npy: npy.toString("base64"), scenarios },
      );
      const recording = await openRecording(projectPath("scenarios/traces/balanced.npy"));
      const reader = recording.layer(0);
      const values = new Float32Array(reader.tokens! * reader.columns);
      await reader.read(values, reader.tokens!);
      await recording.close();
      expect(found.description).toEqual(recording.description);
      expect(found.values).toEqual(Array.from(values));
      for (const [name, scenario] of Object.entries(scenarios)) {
        const path = projectPath("scenarios/traces/balanced.npy");
        const stream = name === "recorded" ? { kind: "trace" as const, path } : scenario.stream;
        const expected = figuresOf(await simulate({ ...scenario, stream }));
        expect(farthest(JSON.parse(found.figures[name]), JSON.parse(expected))).toBeLessThan(1e-13);
      }
    } finally {
      await browser.close();
    }
  });
});

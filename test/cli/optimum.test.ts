import { truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { highsOptimum, highsTolerance } from "../support/highs.ts";
import { npyBytes } from "../support/npy.ts";
import { affinities, type Matrix, toMatrix } from "../support/plain.ts";
import { temporaryFolder } from "../support/program.ts";
import { skewedLogits } from "../support/random-logits.ts";
import { runInProcess } from "../support/run-in-process.ts";

const [steps, tokens, experts] = [3, 20, 6];
const logits = skewedLogits("optimum", steps * tokens, experts, 2);
const batches = Array.from({ length: steps }, (_, step) =>
  toMatrix(logits.subarray(step * tokens * experts), tokens, experts),
);

let folder: string;
beforeAll(() => {
  folder = temporaryFolder();
  writeFileSync(path.join(folder, "steps.npy"), npyBytes([steps, tokens, experts], logits));
  writeFileSync(path.join(folder, "batch.npy"), npyBytes([tokens, experts], logits.subarray(0, tokens * experts)));
  const bad = logits.slice();
  bad[(tokens + 3) * experts + 2] = Number.NaN;
  writeFileSync(path.join(folder, "bad.npy"), npyBytes([steps, tokens, experts], bad));
  writeFileSync(path.join(folder, "short.npy"), npyBytes([steps, tokens, experts], logits));
  truncateSync(path.join(folder, "short.npy"), 1000);
});

interface Line {
  readonly optimum: number;
  readonly upper_bound: number;
  readonly exact: boolean;
}

/** What `moesim optimum` prints. */
async function optimum(...words: string[]): Promise<Line[]> {
  const { code, stdout, stderr } = await runInProcess(["optimum", ...words], folder);
  // Standard output is for scripts.
  expect(stderr).toMatch(/^Taken for: NumPy array: logits, .* experts\n$/);
  expect(code).toBe(0);
  expect(stdout.endsWith("\n")).toBe(true);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** Holds lines to HiGHS, which may miss its tolerance twice a pair; affinities and their sums are exact to 1e-12. */
function expectOptima(lines: readonly Line[], scores: readonly Matrix[], topK: number, capacity: number): void {
  expect(lines.map((line) => Object.keys(line))).toEqual(scores.map(() => ["optimum", "upper_bound", "exact"]));
  lines.forEach((line, step) => {
    expect(line.exact).toBe(true);
    expect(line.upper_bound).toBe(line.optimum);
    const difference = Math.abs(line.optimum - highsOptimum(scores[step], topK, capacity));
    expect(difference).toBeLessThan(2 * tokens * topK * highsTolerance + 1e-12);
  });
}

describe("moesim optimum", () => {
  it("prints the best total score of a batch, with room for ⌈T·K/E⌉ tokens on each expert", async () => {
    // ⌈20 · 2 / 6⌉ = 7, ⌈20 · 3 / 6⌉ = 10.
    expectOptima(await optimum("--logits", "batch.npy", "--top-k", "2"), [affinities(batches[0], "softmax")], 2, 7);
    expectOptima(await optimum("--logits", "batch.npy", "--top-k", "3"), [affinities(batches[0], "softmax")], 3, 10);
  });

  it("prints a line for every step of a file with three dimensions", async () => {
    const scores = batches.map((batch) => affinities(batch, "softmax"));
    expectOptima(await optimum("--logits", "steps.npy", "--top-k", "2"), scores, 2, 7);
  });

  it("takes sigmoids, or the logits themselves, of which it leaves out the negative ones", async () => {
    const sigmoid = await optimum("--logits", "steps.npy", "--top-k", "2", "--scores", "sigmoid");
    expectOptima(
      sigmoid,
      batches.map((batch) => affinities(batch, "sigmoid")),
      2,
      7,
    );
    expectOptima(await optimum("--logits", "steps.npy", "--top-k", "2", "--scores", "raw"), batches, 2, 7);
    writeFileSync(path.join(folder, "negative.npy"), npyBytes([2, 2], [-1, -2, -3, -0.5]));
    expect(await optimum("--logits", "negative.npy", "--top-k", "2", "--scores", "raw")).toEqual([
      { optimum: 0, upper_bound: 0, exact: true },
    ]);
  });

  it("has room for as many tokens on each expert as it is told, be they too few for all or more than there are", async () => {
    const scores = [affinities(batches[0], "softmax")];
    for (const capacity of [1, 4, 12, 1000]) {
      const lines = await optimum("--logits", "batch.npy", "--top-k", "2", "--capacity", String(capacity));
      expectOptima(lines, scores, 2, capacity);
    }
  });

  it("stops within the gap that is allowed for each pair, on both sides of the optimum", async () => {
    const wide = skewedLogits("gap", 256, 16, 2);
    writeFileSync(path.join(folder, "wide.npy"), npyBytes([256, 16], wide));
    const best = highsOptimum(affinities(toMatrix(wide, 256, 16), "softmax"), 4, 64);
    const error = 2 * 256 * 4 * highsTolerance;
    for (const gap of [1e-5, 0.1]) {
      const [line] = await optimum("--logits", "wide.npy", "--top-k", "4", "--gap", String(gap));
      expect(line.upper_bound - line.optimum).toBeLessThanOrEqual(gap * 256 * 4);
      expect(line.optimum).toBeLessThanOrEqual(best + error);
      expect(line.upper_bound).toBeGreaterThanOrEqual(best - error);
      if (!line.exact) expect(line.upper_bound).toBeGreaterThan(line.optimum);
    }
  });

  it.each([
    [["--logits", "batch.npy", "--top-k", "7"], /optimum: --top-k: 7 is more than the 6 experts/],
    [["--logits", "batch.npy", "--top-k", "0"], /--top-k: 0 is not allowed/],
    [["--logits", "bad.npy", "--top-k", "2"], /bad\.npy: the logit of step 1, token 3 .*expert 2 is NaN/],
    [["--logits", "short.npy", "--top-k", "2"], /short\.npy: truncated/],
    [["--logits", "gone.npy", "--top-k", "2"], /gone\.npy: no such file/],
    [["--logits", "batch.npy", "--top-k", "2", "--capacity", "0"], /--capacity: 0/],
    [["--logits", "batch.npy", "--top-k", "2", "--capacity", "2.5"], /--capacity: 2\.5/],
    [["--logits", "batch.npy", "--top-k", "2", "--gap", "-1"], /--gap: -1/],
    [["--logits", "batch.npy", "--top-k", "2", "--gap", "small"], /--gap/],
    [["--logits", "batch.npy", "--top-k", "2", "--scores", "tanh"], /softmax.*sigmoid.*raw/],
    [["--top-k", "2"], /logits/],
  ])("refuses %j", async (words, message) => {
    const { code, stderr } = await runInProcess(["optimum", ...words], folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n").length).toBeLessThanOrEqual(2);
  });
});

import { describe, expect, it } from "vitest";
import { routerKinds } from "../../src/core/routers/index.ts";
import { moesim } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

// Small and short: that the figures are right can only be seen where nothing else runs, that they are there can be here.
const small = ["bench", "--tokens", "64", "--experts", "16", "--top-k", "2", "--time-ms", "2"];

describe("bench", () => {
  it("prints a median for every kernel, a step of every router and the optimum as JSON", () => {
    const { code, stdout, stderr } = moesim([...small, "--json"]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const entries = JSON.parse(stdout) as Record<string, unknown>[];
    expect(entries.map(({ name }) => name)).toEqual([
      "sinkhorn-sweep",
      "softmax",
      ...routerKinds.map(({ kind }) => `${kind}-step`),
      "optimum",
    ]);
    for (const entry of entries) {
      expect(entry).toEqual({
        name: expect.any(String),
        tokens: 64,
        experts: 16,
        top_k: 2,
        threads: 1,
        median_ms: expect.any(Number),
      });
      expect(entry.median_ms).toBeGreaterThan(0);
    }
  });

  it("measures only what is asked for, and prints a table", () => {
    const { code, stdout } = moesim([...small, "--only", "topk-step", "softmax"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^64 tokens × 16 experts, top-2, one thread/);
    expect(stdout).toMatch(/ softmax +[\d.]+/);
    expect(stdout).toMatch(/ topk-step +[\d.]+/);
    expect(stdout).not.toContain("sinkhorn");
  });

  it.each([
    ["a name there is none of", [...small, "--only", "fastest"], /fastest/],
    ["more experts per token than experts", ["bench", "--experts", "16", "--top-k", "17"], /topK.*17/],
    ["no tokens", ["bench", "--tokens", "0"], /--tokens: 0 is not allowed/],
    ["no time", ["bench", "--time-ms", "0"], /--time-ms: 0 is not allowed/],
  ])("refuses %s", async (_, words, message) => {
    const { code, stdout, stderr } = await runInProcess(words);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toMatch(message);
  });
});

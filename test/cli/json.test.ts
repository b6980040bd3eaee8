import { writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, expect, it } from "vitest";
import { npyBytes } from "../support/npy.ts";
import { temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const folder = temporaryFolder();
const inFolder = (...parts: string[]) => path.join(folder, ...parts);

/** Each command that prints a result, and what its JSON says of it. */
const commands: readonly (readonly [words: readonly string[], expected: unknown])[] = [
  [["run", inFolder("grid.json"), "--out", inFolder("run")], { name: "grid", routers: [{ router: "topk" }, {}] }],
  [
    ["sweep", inFolder("grid.json"), "--out", inFolder("sweep")],
    { name: "grid", cells: 2, variants: [{ parameters: { topK: 1 } }, {}, { parameters: { topK: 2 } }, {}] },
  ],
  [
    ["export", inFolder("grid.json"), "--out", inFolder("grid.npy")],
    { path: inFolder("grid.npy"), steps: 6, tokens: 32, experts: 8 },
  ],
  [
    ["route", "--router", "topk", "--logits", inFolder("logits.npy"), "--out", inFolder("chosen.csv")],
    { router: "topk", tokens: 4, experts: 3, top_k: 2 },
  ],
  [
    ["measure", "--loads", inFolder("loads.csv"), "--experts", "3", "--out", inFolder("measured")],
    { name: "loads", routers: [{ router: "recorded", max_vio_global: 0.25 }] },
  ],
  [["optimum", "--logits", inFolder("logits.npy")], { exact: true }],
  [["compare", inFolder("run"), inFolder("run"), "--metric", "score"], { metrics: [{ column: "score" }] }],
  [["check", inFolder("run"), "--baseline", inFolder("run")], { passed: true, findings: [] }],
  [["report", inFolder("run")], { out: inFolder("run/report.html") }],
  [
    ["bench", "--only", "softmax", "--time-ms", "1", "--tokens", "8", "--experts", "8"],
    [{ name: "softmax", tokens: 8, experts: 8, top_k: 8, threads: 1 }],
  ],
  [["validate", inFolder("grid.json")], { valid: true, steps: 6 }],
  [["schema"], { type: "object" }],
  [["list", "metrics"], expect.arrayContaining([expect.objectContaining({ name: "MaxVio", range: "[0, E − 1]" })])],
  [["list", "routers"], expect.arrayContaining([expect.objectContaining({ kind: "ssr" })])],
  [["list", "streams"], expect.arrayContaining([expect.objectContaining({ kind: "clusters" })])],
];

beforeAll(() => {
  const scenario = {
    name: "grid",
    steps: 6,
    tokens: 32,
    experts: 8,
    stream: { kind: "clusters" },
    routers: [{ kind: "topk" }, { kind: "alf-lb" }],
    sweep: { topK: [1, 2] },
  };
  writeFileSync(inFolder("grid.json"), JSON.stringify(scenario));
  writeFileSync(inFolder("loads.csv"), "1,2,3\n4,1,1\n");
  const logits = Array.from({ length: 12 }, (_, i) => Math.sin(i));
  writeFileSync(inFolder("logits.npy"), npyBytes([4, 3], logits));
});

it.each(commands)("%j prints one JSON value with --json and nothing else", async (words, expected) => {
  const { code, stdout, stderr } = await runInProcess([...words, "--json"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(JSON.parse(stdout)).toMatchObject(expected as object);
});

it("says what of a sweep keeps the limit, by the words that --set takes", async () => {
  const words = ["sweep", inFolder("grid.json"), "--out", inFolder("limited"), "--json"];
  const { stdout } = await runInProcess([...words, "--max-vio", "100", "--set", "steps=3"]);
  const { pareto, cheapest, nearest, max_vio_limit: limit, variants } = JSON.parse(stdout);
  expect(limit).toBe(100);
  const names = variants.map(({ name }: { name: string }) => name);
  expect(names).toEqual(["topk topK=1", "alf-lb topK=1", "topk topK=2", "alf-lb topK=2"]);
  for (const name of [...pareto, cheapest.variant, nearest.variant]) expect(names).toContain(name);
  const fastest = variants.toSorted(
    (a: { route_ms_median: number }, b: { route_ms_median: number }) => a.route_ms_median - b.route_ms_median,
  )[0];
  expect(cheapest).toEqual({ variant: fastest.name, set: ["steps=3", `topK=${fastest.parameters.topK}`] });

  const strict = await runInProcess([...words, "--max-vio", "1e-9", "--set", "steps=3"]);
  expect(JSON.parse(strict.stdout)).toMatchObject({
    cheapest: null,
    nearest: { set: ["steps=3", expect.any(String)] },
  });
});

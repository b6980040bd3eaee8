import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { InputError, measure, type RecordedInput } from "../../../src/index.ts";
import { moesim, projectPath, readCsv, temporaryFolder } from "../../support/program.ts";

const selections = projectPath("scenarios/traces/made-selections.npy");
const loads = projectPath("scenarios/traces/made-loads.npy");

it("finds in recorded choices what the command line finds", async () => {
  const out = path.join(temporaryFolder(), "out");
  const words = ["--selections", selections, "--experts", "64", "--batch-tokens", "200", "--ranks", "8"];
  expect(moesim(["measure", ...words, "--out", out, "--quiet"]).code).toBe(0);
  const { summary, steps } = await measure({ selections, experts: 64, batchTokens: 200, ranks: 8 });
  const [row] = readCsv(path.join(out, "summary.csv"));
  expect([summary.maxVioGlobal, summary.loadCv, summary.stepTimeMean]).toEqual(
    [row.max_vio_global, row.load_cv, row.step_time_mean].map(Number),
  );
  const rows = readCsv(path.join(out, "steps.csv"));
  expect(steps.map(({ maxVio }) => maxVio)).toEqual(rows.map((step) => Number(step.max_vio)));
  expect(steps.map(({ tokens }) => tokens)).toEqual([200, 200, 200, 200, 200, 27]);
  expect([summary.score, steps[0].regret, steps[0].churn, steps[0].routerZ]).toEqual([null, null, null, null]);
});

/** Three layers: an absent one, and two that collapse onto different experts. */
function writeLayers(folder: string, name: string): void {
  const steps = [1, 2].map((step) => [
    [0, 0, 0],
    [5 * step, 1, 0],
    [0, 2, 2 * step],
  ]);
  writeFileSync(path.join(folder, name), JSON.stringify({ logical_count: steps }));
}

it("measures layers apart, and their means, as the command line does", async () => {
  const folder = temporaryFolder();
  mkdirSync(path.join(folder, "dumps"));
  for (const name of ["dumps/dump_1.json", "dumps/dump_2.json"]) writeLayers(folder, name);
  const out = path.join(folder, "out");
  const files = path.join(folder, "dumps");
  expect(moesim(["measure", files, "--out", out, "--quiet"]).code).toBe(0);
  const measured = await measure({ files });
  expect(measured).toMatchObject({ experts: 3, absentLayers: [0], worstLayer: 1 });
  expect(measured.description).toBe(
    "2 files: SGLang expert distribution (stat): loads, 4 steps × 3 layers × 3 experts",
  );
  // Loads of a layer over all steps: 30, 4, 0 and 0, 8, 12.
  const vios = [30 / (34 / 3) - 1, 12 / (20 / 3) - 1];
  expect(measured.layers.map(({ layer }) => layer)).toEqual([1, 2]);
  for (const [i, { summary }] of measured.layers.entries()) expect(summary.maxVioGlobal).toBeCloseTo(vios[i], 12);
  expect(measured.summary.maxVioGlobal).toBeCloseTo((vios[0] + vios[1]) / 2, 12);
  expect(measured.summary.maxVioWorst).toBeCloseTo(vios[0], 12);
  const rows = readCsv(path.join(out, "layers.csv"));
  expect(measured.layers.map(({ summary }) => summary.loadCv)).toEqual(rows.map((row) => Number(row.load_cv)));
  const [mean] = readCsv(path.join(out, "summary.csv"));
  expect([measured.summary.maxVioGlobal, measured.summary.maxVioWorst]).toEqual(
    [mean.max_vio_global, mean.max_vio_worst].map(Number),
  );
  const steps = readCsv(path.join(out, "steps.csv"));
  expect(measured.steps.map(({ layer, step, maxVio }) => [layer, step, maxVio])).toEqual(
    steps.map((row) => [Number(row.layer), Number(row.step), Number(row.max_vio)]),
  );
});

it("measures logits by top-k, and finds the experts of choices itself", async () => {
  const files = projectPath("scenarios/traces/balanced.npy");
  const { steps, experts, layers } = await measure({ files, topK: 2 });
  expect([experts, layers.length, steps[0].layer]).toEqual([16, 1, undefined]);
  expect(steps[0].load.reduce((sum, each) => sum + each)).toBe(2 * steps[0].tokens!);
  expect((await measure({ files: selections, as: "selections" })).experts).toBe(64);
});

it("reads the layers that it is told", async () => {
  const files = projectPath("scenarios/traces/made-loads.npy");
  const axes = ["layers", "experts"] as const;
  const all = await measure({ files, axes });
  const some = await measure({ files, axes, layers: [3, "18-19"] });
  expect(some.layers).toEqual(all.layers.filter(({ layer }) => [3, 18, 19].includes(layer)));
});

it("takes a step's load from recorded counts as they are", async () => {
  const file = path.join(temporaryFolder(), "loads.csv");
  writeFileSync(file, "3,1,0\n2,2,2\n");
  const { steps, summary } = await measure({ loads: file, experts: 3 });
  expect(steps.map(({ load }) => load)).toEqual([
    [3, 1, 0],
    [2, 2, 2],
  ]);
  expect(steps[0].maxVio).toBeCloseTo(3 / (4 / 3) - 1, 12);
  expect(summary.maxVioGlobal).toBeCloseTo(0.5, 12);
});

it.each<[RecordedInput, RegExp]>([
  [{ experts: 8 }, /give one of files, selections and loads/],
  [{ experts: 8, loads, selections }, /give one of files/],
  [{ experts: 8, loads, as: "loads" }, /as: selections and loads say that already/],
  [{ experts: 8, loads, batchTokens: 4 }, /batchTokens: the recording already has steps/],
  [{ files: loads, ranks: 9 }, /ranks: 9 is more than the 8 experts/],
  [{ files: [] }, /files: /],
  [{ experts: 8, loads, ranks: 9 }, /ranks: 9 is not allowed: it is more than the experts/],
  [{ experts: 0, loads }, /experts: 0/],
  [{ experts: 9, loads }, /the file has 8 columns/],
  [{ experts: 8, loads: "nowhere.npy" }, /nowhere\.npy: no such file/],
  [{ experts: 8, load: loads } as RecordedInput, /load: unknown key\. Did you mean "loads"/],
])("refuses %j", async (recorded, message) => {
  const error = await measure(recorded).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).toMatch(message);
});

import { writeFileSync } from "node:fs";
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
  [{ experts: 8 }, /give one file/],
  [{ experts: 8, loads, selections }, /give one file/],
  [{ experts: 8, loads, batchTokens: 4 }, /use it only with selections/],
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

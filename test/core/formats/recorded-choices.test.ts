import { existsSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, test } from "vitest";
import { choicesByLayer, type RecordedChoices } from "../../../src/core/formats/recorded-choices.ts";
import { openRecording, type RecordingOptions } from "../../../src/core/formats/recording.ts";
import { idleFraction, loadCv, maxVio } from "../../../src/core/metrics/load.ts";
import { expectInputError, float32Npy, npyBytes, npyHeader, recordedFolder } from "./recorded-files.ts";

const { write } = recordedFolder();
/** Recorded from large models; the files are not part of the project. */
const traces = join(import.meta.dirname, "../../../../shared/traces");
const hasTraces = existsSync(traces);
const unlessMissing = hasTraces ? "" : " (skipped without ../shared/traces)";

function int32Npy(shape: readonly number[], values: readonly number[]): Buffer {
  return npyBytes(npyHeader("<i4", shape), new Uint8Array(Int32Array.from(values).buffer));
}

/** Opens the only layer of a file as what `options.as` says. Closing it closes the file. */
async function openChoices(
  path: string,
  options: RecordingOptions & { experts: number },
  batchTokens?: number,
): Promise<RecordedChoices> {
  const recording = await openRecording(path, options);
  try {
    return { ...choicesByLayer(recording, { ...options, batchTokens })(0), close: () => recording.close() };
  } catch (error) {
    await recording.close();
    throw error;
  }
}

const openSelections = (path: string, experts: number, batchTokens?: number) =>
  openChoices(path, { as: "selections", experts }, batchTokens);
const openLoads = (path: string, experts: number) => openChoices(path, { as: "loads", experts });

async function stepsOf(choices: RecordedChoices): Promise<{ step: number; tokens: number | null; load: number[] }[]> {
  const steps: { step: number; tokens: number | null; load: number[] }[] = [];
  try {
    for (let each = await choices.next(); each !== null; each = await choices.next()) {
      steps.push({ ...each, load: [...each.load] });
    }
    expect(await choices.next()).toBeNull();
  } finally {
    await choices.close();
  }
  return steps;
}

describe("openSelections", () => {
  const path = write("selections.npy", int32Npy([5, 2], [0, 1, 2, -1, 1, 0, -1, -1, 3, 1]));

  test("counts the pairs of the whole file as one step", async () => {
    const choices = await openSelections(path, 5);
    expect(choices).toMatchObject({ steps: 1, tokens: 5, topK: 2, experts: 5 });
    // The row without an expert is padding.
    expect(await stepsOf(choices)).toEqual([{ step: 0, tokens: 4, load: [2, 3, 1, 1, 0] }]);
  });

  test("cuts the file by batchTokens, the last step shorter", async () => {
    expect(await stepsOf(await openSelections(path, 5, 2))).toEqual([
      { step: 0, tokens: 2, load: [1, 1, 1, 0, 0] },
      { step: 1, tokens: 1, load: [1, 1, 0, 0, 0] },
      { step: 2, tokens: 1, load: [0, 1, 0, 1, 0] },
    ]);
  });

  test("takes [steps, tokens, topK] as it is", async () => {
    const steps = write("steps.npy", int32Npy([2, 2, 1], [0, 1, 1, 1]));
    expect(await stepsOf(await openSelections(steps, 2))).toEqual([
      { step: 0, tokens: 2, load: [1, 1] },
      { step: 1, tokens: 2, load: [0, 2] },
    ]);
    await expectInputError(
      () => openSelections(steps, 2, 1),
      steps,
      "the file is already in steps; remove batchTokens",
    );
  });

  test("reads .csv and .parquet too", async () => {
    const csv = write("selections.csv", "first,second\n0,1\n2,-1\n");
    expect(await stepsOf(await openSelections(csv, 3))).toEqual([{ step: 0, tokens: 2, load: [1, 1, 1] }]);
    const columnData = [
      { name: "first", data: Int32Array.of(0, 2) },
      { name: "second", data: Int32Array.of(1, -1) },
    ];
    const parquet = write("selections.parquet", new Uint8Array(parquetWriteBuffer({ columnData })));
    expect(await stepsOf(await openSelections(parquet, 3))).toEqual([{ step: 0, tokens: 2, load: [1, 1, 1] }]);
  });

  test("counts what a plain count does, whatever the cut, across its pieces", async () => {
    // 70,000 tokens are more than one piece of 65,536 values.
    const tokens = 70_000;
    const values = Array.from({ length: tokens }, (_, i) => (i * i) % 7);
    const long = write("long.npy", int32Npy([tokens, 1], values));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 9_000, max: 80_000 }), async (batchTokens) => {
        const steps = await stepsOf(await openSelections(long, 7, batchTokens));
        for (const { step, load } of steps) {
          const expected = [0, 0, 0, 0, 0, 0, 0];
          for (const value of values.slice(step * batchTokens, (step + 1) * batchTokens)) expected[value]++;
          expect(load).toEqual(expected);
        }
        expect(steps).toHaveLength(Math.ceil(tokens / batchTokens));
      }),
      { seed: 7, numRuns: 10 },
    );
  });

  test.skipIf(!hasTraces)(
    `finds in the recorded choices of a large model what its source states${unlessMissing}`,
    async () => {
      const choices = await openSelections(join(traces, "deepseek-v2-lite-law-layer13-selections.npy"), 64);
      expect(choices).toMatchObject({ steps: 1, tokens: 8327, topK: 6 });
      const step = await choices.next();
      const load = Array.from(step!.load);
      expect(load.reduce((sum, each) => sum + each)).toBe(49_962);
      // The source prints four decimals.
      expect(maxVio(load)).toBeCloseTo(3.7511, 4);
      expect(loadCv(load)).toBeCloseTo(0.7417, 4);
      expect(idleFraction(load)).toBe(0);
      await choices.close();
    },
  );

  test.each([
    ["an expert beyond the last", [0, 1, 2, 5, 0, 1], "token 1, slot 1: 5 is not an expert", "from 0 to 4"],
    ["a value below −1", [0, 1, 2, 3, -2, 1], "token 2, slot 0: -2 is not an expert", "−1 for none"],
    ["an expert twice for a token", [0, 1, 2, 3, 4, 4], "token 2, slot 1: expert 4 appears twice", "distinct"],
  ])("refuses %s", async (_, values, ...parts) => {
    const bad = write("bad.npy", int32Npy([3, 2], values));
    await expectInputError(async () => stepsOf(await openSelections(bad, 5)), bad, ...parts);
    await expectInputError(async () => stepsOf(await openSelections(bad, 5, 1)), bad, ...parts);
  });

  test("refuses floats, fractions, one dimension and more slots than experts", async () => {
    const floats = write("floats.npy", float32Npy([1, 2], [0, 1]));
    await expectInputError(() => openSelections(floats, 5), floats, "float32 [1, 2]", "integers", "logits");
    const fraction = write("fraction.csv", "1,0\n0.5,1\n");
    await expectInputError(async () => stepsOf(await openSelections(fraction, 5)), fraction, "token 1, slot 0: 0.5");
    const nan = write("nan.csv", "0,nan\n");
    await expectInputError(async () => stepsOf(await openSelections(nan, 5)), nan, "token 0, slot 1: NaN");
    const flat = write("flat.npy", int32Npy([3], [0, 1, 2]));
    await expectInputError(() => openSelections(flat, 5), flat, "[tokens, topK]");
    await expectInputError(() => openSelections(path, 1), path, "2 experts per token");
  });
});

describe("openLoads", () => {
  const path = write("loads.npy", int32Npy([3, 2], [5, 0, 2, 3, 0, 0]));

  test("gives the loads row by row", async () => {
    const choices = await openLoads(path, 2);
    expect(choices).toMatchObject({ steps: 3, tokens: null, topK: null, experts: 2 });
    expect(await stepsOf(choices)).toEqual([
      { step: 0, tokens: null, load: [5, 0] },
      { step: 1, tokens: null, load: [2, 3] },
      { step: 2, tokens: null, load: [0, 0] },
    ]);
  });

  test("takes one dimension as one step", async () => {
    const flat = write("flat-loads.npy", int32Npy([3], [7, 8, 9]));
    expect(await stepsOf(await openLoads(flat, 3))).toEqual([{ step: 0, tokens: null, load: [7, 8, 9] }]);
  });

  test.skipIf(!hasTraces)(
    `reads the recorded loads of a large model's layers as NumPy does${unlessMissing}`,
    async () => {
      const steps = await stepsOf(await openLoads(join(traces, "mixtral-8x7b-instruct-loads.npy"), 8));
      expect(steps).toHaveLength(32);
      expect(steps[0].load).toEqual([1782, 1791, 1940, 1863, 1625, 2226, 1517, 1654]);
      expect(steps[31].load).toEqual([1542, 1485, 1382, 2443, 1805, 1850, 2119, 1772]);
    },
  );

  test("refuses columns that are not the experts, and floats", async () => {
    await expectInputError(() => openLoads(path, 8), path, "2 columns", "8 experts");
    const floats = write("float-loads.npy", float32Npy([1, 2], [1.5, 2]));
    await expectInputError(() => openLoads(floats, 2), floats, "expert 0: 1.5 is not a load");
  });

  test.each([["-1"], ["0.5"], ["2147483648"], ["nan"]])(
    "refuses a load of %s, naming step and expert",
    async (cell) => {
      const bad = write("bad-loads.csv", `1,2\n3,${cell}\n`);
      await expectInputError(async () => stepsOf(await openLoads(bad, 2)), bad, "step 1, expert 1", "2147483647");
    },
  );
});

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { idleFraction, maxVio } from "../../../src/core/metrics/load.ts";
import { createRandom } from "../../../src/core/random.ts";
import type { StreamShape } from "../../../src/core/streams/stream.ts";
import { type TraceOptions, traceKind } from "../../../src/core/streams/trace.ts";
import { expectInputError, float32Npy, npyBytes, npyHeader, recordedFolder } from "../formats/recorded-files.ts";

const { folder, write } = recordedFolder();
const kernels = createReferenceKernels();
const recorded = join(import.meta.dirname, "../../../scenarios");

function shapeOf(options: TraceOptions, wanted: Partial<StreamShape> = {}, base = folder): Promise<StreamShape> {
  return traceKind.shape!(traceKind.options.parse(options), wanted, base);
}

async function open(options: TraceOptions, wanted: Partial<StreamShape> = {}, base = folder) {
  const shape = await shapeOf(options, wanted, base);
  return traceKind.create({ shape, kernels, random: createRandom(1), folder: base }, options);
}

/** Every batch as plain numbers. */
async function batchesOf(options: TraceOptions, wanted: Partial<StreamShape> = {}) {
  const stream = await open(options, wanted);
  const batches: { step: number; tokens: number; experts: number; logits: number[] }[] = [];
  try {
    for (let batch = await stream.next(); batch !== null; batch = await stream.next()) {
      const { step, tokens, experts, logits } = batch;
      batches.push({ step, tokens, experts, logits: [...logits.subarray(0, tokens * experts)] });
    }
    expect(await stream.next()).toBeNull();
  } finally {
    await stream.close();
  }
  return batches;
}

const counting = (length: number) => Array.from({ length }, (_, i) => i / 4);
write("steps.npy", float32Npy([3, 2, 2], counting(12)));
write("tokens.npy", float32Npy([5, 2], counting(10)));

describe("trace on [steps, tokens, experts]", () => {
  test("takes the sizes from the file", async () => {
    expect(await shapeOf({ path: "steps.npy" })).toEqual({ steps: 3, tokens: 2, experts: 2 });
  });

  test("gives one batch per step, counted from 0, and then null", async () => {
    expect(await batchesOf({ path: "steps.npy" })).toEqual([
      { step: 0, tokens: 2, experts: 2, logits: [0, 0.25, 0.5, 0.75] },
      { step: 1, tokens: 2, experts: 2, logits: [1, 1.25, 1.5, 1.75] },
      { step: 2, tokens: 2, experts: 2, logits: [2, 2.25, 2.5, 2.75] },
    ]);
  });

  test("gives the first steps when fewer are asked for", async () => {
    expect(await shapeOf({ path: "steps.npy" }, { steps: 2 })).toEqual({ steps: 2, tokens: 2, experts: 2 });
    expect((await batchesOf({ path: "steps.npy" }, { steps: 2 })).map(({ step }) => step)).toEqual([0, 1]);
  });

  test("refuses more steps than it has, other tokens, other experts and batchTokens", async () => {
    const path = "steps.npy";
    await expectInputError(() => shapeOf({ path }, { steps: 4 }), path, "3 steps", "4 are requested");
    await expectInputError(() => shapeOf({ path }, { tokens: 3 }), path, "2 tokens per step, but 3 are requested");
    await expectInputError(() => shapeOf({ path }, { experts: 8 }), path, "2 experts, but 8 are requested");
    await expectInputError(
      () => shapeOf({ path, batchTokens: 1 }),
      path,
      "remove batchTokens, which cuts files without steps",
    );
  });
});

describe("trace on [tokens, experts]", () => {
  test("is cut by batchTokens, the last batch shorter", async () => {
    const options = { path: "tokens.npy", batchTokens: 2 };
    expect(await shapeOf(options)).toEqual({ steps: 3, tokens: 2, experts: 2 });
    expect(await batchesOf(options)).toEqual([
      { step: 0, tokens: 2, experts: 2, logits: [0, 0.25, 0.5, 0.75] },
      { step: 1, tokens: 2, experts: 2, logits: [1, 1.25, 1.5, 1.75] },
      { step: 2, tokens: 1, experts: 2, logits: [2, 2.25] },
    ]);
  });

  test("is cut by the scenario's tokens when batchTokens is left out", async () => {
    expect(await shapeOf({ path: "tokens.npy" }, { tokens: 3 })).toEqual({ steps: 2, tokens: 3, experts: 2 });
    expect((await batchesOf({ path: "tokens.npy" }, { tokens: 3 })).map(({ tokens }) => tokens)).toEqual([3, 2]);
  });

  test("is one batch when nobody says how to cut it, or the cut is longer than the file", async () => {
    const whole = { steps: 1, tokens: 5, experts: 2 };
    expect(await shapeOf({ path: "tokens.npy" })).toEqual(whole);
    expect(await shapeOf({ path: "tokens.npy", batchTokens: 512 }, { tokens: 1000 })).toEqual(whole);
    expect(await batchesOf({ path: "tokens.npy", batchTokens: 512 })).toMatchObject([{ step: 0, tokens: 5 }]);
  });

  test("asks for batchTokens above 65,536 tokens", async () => {
    const path = write("long.npy", npyBytes(npyHeader("<f2", [65_537, 1]), new Uint8Array(2 * 65_537)));
    await expectInputError(() => shapeOf({ path }), path, "65537 tokens", "set batchTokens", "65536");
    expect(await shapeOf({ path, batchTokens: 65_537 })).toEqual({ steps: 1, tokens: 65_537, experts: 1 });
  });

  test("refuses batchTokens that disagree with tokens, and steps beyond the end", async () => {
    const path = "tokens.npy";
    await expectInputError(() => shapeOf({ path, batchTokens: 2 }, { tokens: 3 }), path, "batchTokens 2 and tokens 3");
    await expectInputError(
      () => shapeOf({ path, batchTokens: 2 }, { steps: 4 }),
      path,
      "3 steps of 2",
      "4 are requested",
    );
  });

  test("reads the same from .csv", async () => {
    const lines = Array.from({ length: 5 }, (_, row) => `${row / 2},${row / 2 + 0.25}`);
    write("tokens.csv", `expert_0,expert_1\n${lines.join("\n")}\n`);
    expect(await batchesOf({ path: "tokens.csv", batchTokens: 2 })).toEqual(
      await batchesOf({ path: "tokens.npy", batchTokens: 2 }),
    );
  });
});

describe("trace on data that cannot be routed", () => {
  test("reads −∞, and what is below −1e30, as a disabled expert", async () => {
    write("masked.npy", float32Npy([2, 1, 3], [1, Number.NEGATIVE_INFINITY, -3.4e38, 1, -1e30, 2]));
    const stream = await open({ path: "masked.npy" });
    const none = Number.NEGATIVE_INFINITY;
    const first = await stream.next();
    expect([first?.hasDisabled, Array.from(first!.logits)]).toEqual([true, [1, none, none]]);
    const second = await stream.next();
    expect([second?.hasDisabled, Array.from(second!.logits)]).toEqual([false, [1, Math.fround(-1e30), 2]]);
    await stream.close();
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "names step, token and expert of a logit that is %d, when its batch is read",
    async (bad) => {
      const values = counting(12);
      values[9] = bad;
      write("bad.npy", float32Npy([3, 2, 2], values));
      const stream = await open({ path: "bad.npy" });
      expect((await stream.next())?.step).toBe(0);
      expect((await stream.next())?.step).toBe(1);
      await expectInputError(
        () => stream.next(),
        "bad.npy",
        "step 2, token 0 of that step, expert 1",
        Number.isNaN(bad) ? "NaN" : "infinite",
      );
      await stream.close();
    },
  );

  test("ignores what is not finite beyond the steps asked for", async () => {
    const values = counting(12);
    values[11] = Number.NaN;
    write("late.npy", float32Npy([3, 2, 2], values));
    expect(await batchesOf({ path: "late.npy" }, { steps: 2 })).toHaveLength(2);
  });

  test("refuses float64 logits beyond float32", async () => {
    const data = new Uint8Array(Float64Array.of(1, 1e300).buffer);
    write("large.npy", npyBytes(npyHeader("<f8", [1, 2]), data));
    await expectInputError(() => batchesOf({ path: "large.npy" }), "large.npy", "expert 1", "finite as float32");
  });

  test.each(["<i2", "<i4", ">i8", "|u1"])("refuses %s, as choices and loads carry no logits", async (descr) => {
    const data = new Uint8Array(4 * Number(descr[2]));
    write("integers.npy", npyBytes(npyHeader(descr, [2, 2]), data));
    await expectInputError(
      () => shapeOf({ path: "integers.npy" }),
      "integers.npy",
      "choices or loads, not logits",
      "moesim measure",
    );
  });

  test("refuses recorded choices and loads", async () => {
    for (const name of ["made-selections.npy", "made-loads.npy"]) {
      await expectInputError(() => shapeOf({ path: `traces/${name}` }, {}, recorded), name, "moesim measure");
    }
  });

  test("refuses text of choices beside their weights and of loads, and warns of whole numbers unless they are said to be logits", async () => {
    write("route.csv", "pos,layer,n,e0,e1,w0,w1\n0,3,2,5,1,0.75,0.25\n1,3,2,4,0,0.5,0.5\n");
    write("loads.csv", "layer,expert,count\n3,0,10\n3,1,20\n");
    write("whole.csv", "10,2,3\n3,2,1\n");
    for (const name of ["route.csv", "loads.csv"]) {
      await expectInputError(
        () => shapeOf({ path: name }),
        name,
        "choices or loads, not logits",
        "set input to logits",
      );
    }
    const { warnings, ...shape } = await shapeOf({ path: "whole.csv" });
    expect(warnings).toEqual([expect.stringContaining("Every value is a whole number.")]);
    expect(await shapeOf({ path: "whole.csv", input: "logits" })).toEqual(shape);
  });

  test("refuses one dimension", async () => {
    write("flat.npy", float32Npy([4], [1, 2, 3, 4]));
    await expectInputError(() => shapeOf({ path: "flat.npy" }), "flat.npy", "1 dimension");
  });

  test("refuses a missing file, an empty folder, and bytes of no kind that it knows", async () => {
    await expectInputError(() => shapeOf({ path: "none.npy" }), "none.npy", "no such file", folder, process.cwd());
    mkdirSync(join(folder, "folder.npy"));
    await expectInputError(() => shapeOf({ path: "folder.npy" }), "folder.npy", "there are no files in this folder");
    await expectInputError(() => shapeOf({ path: "no*.npy" }), "no*.npy", "no file has a name like this");
    write("logits.bin", Uint8Array.of(1, 0, 2, 0));
    await expectInputError(
      () => shapeOf({ path: "logits.bin" }),
      "logits.bin",
      "of no known kind",
      ".safetensors, .pt",
    );
    // The name decides nothing.
    write("logits.txt", "1.5,2");
    expect(await shapeOf({ path: "logits.txt" })).toMatchObject({ steps: 1, tokens: 1, experts: 2 });
  });

  test("refuses options that the format does not have, and unknown ones", async () => {
    await expectInputError(() => shapeOf({ path: "steps.npy", tensor: "gate" }), "steps.npy", "a .npy file has none");
    await expectInputError(() => shapeOf({ path: "steps.npy", column: "logits" }), "steps.npy", "a .npy file has none");
    expect(() => traceKind.options.parse({ path: "steps.npy", batchToken: 2 })).toThrow("batchToken");
  });
});

describe("trace's search for its file", () => {
  test("looks in the scenario's folder first, then in the working directory", async () => {
    expect((await shapeOf({ path: "scenarios/traces/balanced.npy" }, {}, folder)).steps).toBe(100);
    mkdirSync(join(folder, "scenarios/traces"), { recursive: true });
    write("scenarios/traces/balanced.npy", float32Npy([1, 1, 2], [1, 2]));
    expect((await shapeOf({ path: "scenarios/traces/balanced.npy" }, {}, folder)).steps).toBe(1);
  });
});

describe("trace on the recorded router", () => {
  // What the training measured on its own batches with plain softmax top-2, printed to two decimals.
  test.each([
    ["collapse", [4.83, 4.56, 4.34, 4.27, 4.3], [6, 9, 7, 6, 7]],
    ["balanced", [1.86, 1.44, 1.17, 1.23, 1.02], [2, 3, 4, 4, 1]],
  ])("gives the loads that the training of %s measured", async (name, maxVios, idle) => {
    const stream = await open({ path: `traces/${name}.npy` }, {}, recorded);
    const found: { maxVio: number; idle: number }[] = [];
    for (let batch = await stream.next(); batch !== null; batch = await stream.next()) {
      if (batch.step % 20 !== 19) continue;
      const load = topTwoLoad(batch.logits, batch.tokens, batch.experts);
      found.push({ maxVio: maxVio(load), idle: idleFraction(load) * batch.experts });
    }
    await stream.close();
    expect(found.map((each) => Number(each.maxVio.toFixed(2)))).toEqual(maxVios);
    expect(found.map((each) => each.idle)).toEqual(idle);
  });
});

/** Tokens per expert under plain top-2 by a full sort of each row. */
function topTwoLoad(logits: Float32Array, tokens: number, experts: number): Int32Array {
  const load = new Int32Array(experts);
  for (let token = 0; token < tokens; token++) {
    const row = logits.subarray(token * experts, (token + 1) * experts);
    const order = [...row.keys()].sort((a, b) => row[b] - row[a] || a - b);
    for (const expert of order.slice(0, 2)) load[expert]++;
  }
  return load;
}

describe("trace with a padding mask", () => {
  const bools = (shape: readonly number[], values: readonly number[]) =>
    npyBytes(npyHeader("|b1", shape), Uint8Array.from(values));
  write("mask-5.npy", bools([5], [0, 1, 0, 1, 1]));
  write("mask-3x2.npy", bools([3, 2], [1, 1, 0, 0, 0, 1]));

  test("leaves padding out after the steps are cut, and says where the tokens were", async () => {
    expect(await batchesOf({ path: "tokens.npy", batchTokens: 3, paddingMask: "mask-5.npy" })).toEqual([
      { step: 0, tokens: 2, experts: 2, logits: [0, 0.25, 1, 1.25] },
      { step: 1, tokens: 0, experts: 2, logits: [] },
    ]);
    const stream = await open({ path: "tokens.npy", batchTokens: 3, paddingMask: "mask-5.npy" });
    const batch = await stream.next();
    expect(Array.from(batch!.position!.subarray(0, 2))).toEqual([0, 2]);
    await stream.close();
  });

  test("takes masks of any shape, of integers and as CSV", async () => {
    const expected = [
      { step: 0, tokens: 0, experts: 2, logits: [] },
      { step: 1, tokens: 2, experts: 2, logits: [1, 1.25, 1.5, 1.75] },
      { step: 2, tokens: 1, experts: 2, logits: [2, 2.25] },
    ];
    write("mask.csv", "1\n1\n0\n0\n0\n1\n");
    write("mask-u1.npy", npyBytes(npyHeader("|u1", [6]), Uint8Array.of(1, 1, 0, 0, 0, 1)));
    for (const paddingMask of ["mask-3x2.npy", "mask.csv", "mask-u1.npy"]) {
      expect(await batchesOf({ path: "steps.npy", paddingMask })).toEqual(expected);
    }
  });

  test("does not look at the logits of padding, and names a bad token by its place in the step", async () => {
    write("bad.npy", float32Npy([3, 2], [Number.NaN, 1, 2, 3, 4, Number.NaN]));
    write("mask-first.npy", bools([3], [1, 0, 0]));
    write("mask-both.npy", bools([3], [1, 0, 1]));
    const [batch] = await batchesOf({ path: "bad.npy", paddingMask: "mask-both.npy" });
    expect(batch.logits).toEqual([2, 3]);
    await expectInputError(() => batchesOf({ path: "bad.npy", paddingMask: "mask-first.npy" }), "token 2 of that step");
  });

  test("refuses masks of another length, of floats and of other values", async () => {
    const mask = (name: string) => () => batchesOf({ path: "steps.npy", paddingMask: name });
    await expectInputError(mask("mask-5.npy"), "mask-5.npy", "there are 6 tokens, not 5");
    write("floats.npy", float32Npy([6], [0, 0, 0, 0, 0, 1]));
    await expectInputError(mask("floats.npy"), "floats.npy", "booleans, or integers that are 0 or 1");
    write("twos.npy", npyBytes(npyHeader("|u1", [6]), Uint8Array.of(0, 0, 0, 2, 0, 0)));
    await expectInputError(mask("twos.npy"), "twos.npy", "token 3: 2 is not allowed; 1 is padding");
    await expectInputError(mask("none.npy"), "none.npy", "no such file");
    await expectInputError(() => batchesOf({ path: "mask-3x2.npy" }), "booleans are no logits");
  });
});

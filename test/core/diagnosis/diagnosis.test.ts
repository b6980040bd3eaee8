import { describe, expect, it } from "vitest";
import {
  countVerdicts,
  type Diagnosis,
  type DiagnosisOptions,
  diagnoseRecording,
  headline,
  type LayerDiagnosis,
  worstFirst,
} from "../../../src/core/diagnosis/diagnosis.ts";
import { openRecording, type RecordingOptions } from "../../../src/core/formats/recording.ts";
import { InputError } from "../../../src/core/input-error.ts";
import { bytesSource } from "../../../src/core/source.ts";
import { transport } from "../../../src/index.ts";
import { randomLogits } from "../../support/random-logits.ts";
import { float32Npy, npyBytes, npyHeader, recordedFolder } from "../formats/recorded-files.ts";

async function diagnose(
  bytes: Uint8Array,
  options: DiagnosisOptions = {},
  reading: RecordingOptions = {},
  name = "file.npy",
): Promise<Diagnosis> {
  const recording = await openRecording(bytesSource(new Uint8Array(bytes), name), reading);
  try {
    return await diagnoseRecording(recording, options);
  } finally {
    await recording.close();
  }
}

/** The diagnosis of logits `[steps × tokens × experts]`. */
async function ofLogits(
  logits: ArrayLike<number>,
  [steps, tokens, experts]: readonly [number, number, number],
  options: DiagnosisOptions,
): Promise<LayerDiagnosis> {
  const { layers } = await diagnose(float32Npy([steps, tokens, experts], logits), options);
  expect(layers).toHaveLength(1);
  return layers[0];
}

const int32Npy = (shape: readonly number[], values: readonly number[]) =>
  npyBytes(npyHeader("<i4", shape), new Uint8Array(Int32Array.from(values).buffer));

/** Logits whose experts differ in popularity; `popularity(step, expert)` is added to each. */
function skewed(
  seed: string,
  [steps, tokens, experts]: readonly [number, number, number],
  popularity: (step: number, expert: number) => number,
): Float32Array {
  return randomLogits(seed, steps * tokens, experts).map((logit, entry) => {
    return logit + popularity(Math.floor(entry / experts / tokens), entry % experts);
  });
}

const softmax = (row: ArrayLike<number>) => {
  const all = Array.from(row);
  const most = Math.max(...all);
  const sum = all.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return all.map((logit) => Math.exp(logit - most) / sum);
};

/** Loads and mean score of each step by the top-K of affinities plus a bias, in plain JavaScript. */
function routed(
  logits: Float32Array,
  [steps, tokens, experts]: readonly [number, number, number],
  topK: number,
  bias: ArrayLike<number> = new Float64Array(experts),
) {
  return Array.from({ length: steps }, (_, step) => {
    const load = new Array<number>(experts).fill(0);
    let score = 0;
    for (let token = 0; token < tokens; token++) {
      const first = (step * tokens + token) * experts;
      const affinity = softmax(logits.subarray(first, first + experts));
      const best = affinity
        .map((value, e) => ({ e, key: value + bias[e] }))
        .sort((a, b) => b.key - a.key || a.e - b.e)
        .slice(0, topK);
      for (const { e } of best) {
        load[e] += 1;
        score += affinity[e] / (tokens * topK);
      }
    }
    return { load, score };
  });
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const totalOf = (loads: readonly (readonly number[])[]) => loads[0].map((_, e) => meanOf(loads.map((load) => load[e])));
const vioOf = (load: readonly number[]) => Math.max(...load) / meanOf(load) - 1;
const slowdownOf = (load: readonly number[], gpuOf: readonly (readonly number[])[]) =>
  1 + vioOf(gpuOf.map((experts) => experts.reduce((sum, e) => sum + load[e], 0)));

const sizes = [40, 256, 16] as const;
const topK = 2;
/** Few experts are preferred, always the same. */
const collapsed = skewed("collapsed", sizes, (_, e) => 1.4 * Math.cos(e));

describe("a layer that prefers the same few experts", () => {
  it("is one that a bias mends, with the figures of a plain twin", async () => {
    const layer = await ofLogits(collapsed, sizes, { topK });
    expect(layer.verdict).toMatchObject({ kind: "a bias would do", remedy: "bias" });
    expect(layer.origin).toBe("run");
    const plain = routed(collapsed, sizes, topK);
    const all = plain.map(({ load }) => load);
    const [a, b] = [plain.slice(0, 20), plain.slice(20)];
    expect(layer.maxVioRun).toBeCloseTo(vioOf(totalOf(all)), 12);
    expect(layer.maxVioBatch.mean).toBeCloseTo(meanOf(all.map(vioOf)), 12);
    expect(layer.idleExperts).toEqual([]);
    expect(layer.idleFraction.mean).toBeCloseTo(meanOf(all.map((load) => load.filter((n) => n === 0).length / 16)), 12);
    const hottest = totalOf(all).map((load, expert) => ({ expert, ratio: load / (512 / 16) }));
    expect(layer.hottest[0].expert).toBe(hottest.toSorted((x, y) => y.ratio - x.ratio)[0].expert);
    expect(layer.a).toMatchObject({ batches: 20, tokens: 20 * 256, pairs: 20 * 512 });
    expect(layer.b!.plain.maxVioBatch.mean).toBeCloseTo(meanOf(b.map(({ load }) => vioOf(load))), 12);
    expect(layer.b!.plain.score).toBeCloseTo(meanOf(b.map(({ score }) => score)), 10);
    const capacity = (factor: number) => Math.ceil((factor * 512) / 16);
    for (const [i, factor] of [1, 1.25, 1.5, 2].entries()) {
      const over = b.map(({ load }) => load.reduce((sum, n) => sum + Math.max(0, n - capacity(factor)), 0) / 512);
      expect(layer.b!.plain.dropped[i]).toBeCloseTo(meanOf(over), 12);
    }
    const biased = routed(collapsed, sizes, topK, layer.bias!.values).slice(20);
    expect(layer.b!.biased!.maxVioBatch.mean).toBeCloseTo(meanOf(biased.map(({ load }) => vioOf(load))), 12);
    expect(layer.b!.biased!.score).toBeCloseTo(meanOf(biased.map(({ score }) => score)), 10);
    expect(layer.gains.bias!.mean).toBeCloseTo(meanOf(b.map(({ load }, i) => vioOf(load) - vioOf(biased[i].load))), 12);
    // Without GPUs, the slowdown is that of experts.
    expect(layer.b!.plain.slowdown.mean).toBeCloseTo(1 + layer.b!.plain.maxVioBatch.mean, 12);
    expect(a).toHaveLength(20);
  });

  it("gets the bias of the exact dual of A: its loads on A are equal but for the tokens at the margin", async () => {
    const layer = await ofLogits(collapsed, sizes, { topK });
    const onA = totalOf(
      routed(collapsed, sizes, topK, layer.bias!.values)
        .slice(0, 20)
        .map(({ load }) => load),
    ).map((mean) => 20 * mean);
    for (const load of onA) expect(Math.abs(load - 640)).toBeLessThan(16);
    expect(layer.bias!.gap).toBeLessThan(1e-6);
    expect(layer.bias!.tokens).toBe(20 * 256);
  });

  it("is compared with the certified optimum of every batch of B", async () => {
    const small = collapsed.subarray(0, 20 * 64 * 16);
    const smallSizes = [20, 64, 16] as const;
    const layer = await ofLogits(small, smallSizes, { topK, capacityFactor: 1.25 });
    const values = Array.from({ length: 10 }, (_, i) => {
      const first = (10 + i) * 64 * 16;
      const scores = Array.from({ length: 64 }, (_, t) =>
        softmax(small.subarray(first + t * 16, first + (t + 1) * 16)),
      ).flat();
      return transport.solveAssignment({ scores, experts: 16, topK, capacity: 10 }).value / 128;
    });
    const { optimum } = layer;
    expect(optimum).toMatchObject({ batches: 10, capacityFactor: 1.25 });
    expect(optimum!.upperBound).toBeGreaterThanOrEqual(meanOf(values) - 1e-9);
    expect(optimum!.best).toBeLessThanOrEqual(meanOf(values) + 1e-9);
    expect(optimum!.upperBound - optimum!.best).toBeLessThan(1.1e-5);
    expect(optimum!.plainKept).toBeLessThan(optimum!.best);
    expect(optimum!.biasedKept).toBeLessThan(optimum!.upperBound);
    expect(optimum!.plain).toBeCloseTo(layer.b!.plain.score!, 10);
  });

  it("is better placed than biased, if placing does it too", async () => {
    // Each GPU has four experts, and those of the first are preferred.
    const logits = skewed("placed", sizes, (_, e) => (e < 4 ? 1 : 0));
    const layer = await ofLogits(logits, sizes, { topK, gpus: 4 });
    expect(layer.verdict).toMatchObject({ kind: "placement would do", remedy: "moves" });
    expect(layer.gains.bias!.mean).toBeGreaterThan(0);
    const gpuOf = Array.from({ length: 4 }, (_, gpu) =>
      Array.from(layer.placement!.moves.subarray(4 * gpu, 4 * gpu + 4)),
    );
    const inOrder = Array.from({ length: 4 }, (_, gpu) => [0, 1, 2, 3].map((i) => 4 * gpu + i));
    const b = routed(logits, sizes, topK).slice(20);
    expect(layer.b!.plain.slowdown.mean).toBeCloseTo(meanOf(b.map(({ load }) => slowdownOf(load, inOrder))), 12);
    expect(layer.b!.moves!.slowdown.mean).toBeCloseTo(meanOf(b.map(({ load }) => slowdownOf(load, gpuOf))), 12);
    expect(layer.b!.moves!.bound).toBeLessThanOrEqual(layer.b!.moves!.slowdown.mean);
  });
});

describe("a layer in which one expert outweighs a GPU", () => {
  const logits = skewed("heavy", sizes, (_, e) => (e === 5 ? 3 : 0));

  it("needs a replica: moving does less than a bias, which a replica spares", async () => {
    const layer = await ofLogits(logits, sizes, { topK, gpus: 8 });
    const { moves, bias, replicas } = layer.gains;
    expect(bias!.mean).toBeGreaterThan(moves!.mean + 0.2);
    expect(replicas!.mean).toBeGreaterThan(bias!.mean - 0.1);
    expect(layer.biasLead.moves!.mean).toBeCloseTo(bias!.mean - moves!.mean, 12);
    expect(layer.verdict).toMatchObject({ kind: "placement would do", remedy: "replicas" });
  });

  it("is one that a bias mends if there are no GPUs to place on", async () => {
    expect((await ofLogits(logits, sizes, { topK })).verdict).toMatchObject({ kind: "a bias would do" });
  });
});

describe("other verdicts on logits", () => {
  it("is to leave balanced routing, whose imbalance is chance", async () => {
    const layer = await ofLogits(randomLogits("noise", 40 * 256, 16), sizes, { topK });
    expect(layer.verdict).toMatchObject({ kind: "leave it", remedy: null });
    expect(layer.origin).toBe("chance");
    expect(layer.maxVioBatch.mean).toBeGreaterThan(0.2);
    expect(Math.abs(layer.excess!.mean)).toBeLessThan(3 * layer.excess!.halfWidth!);
  });

  it("is to leave what drifts: a bias fitted on A does harm on B", async () => {
    const logits = skewed("drift", sizes, (step, e) => (e === (step < 20 ? 0 : 9) ? 2 : 0));
    const layer = await ofLogits(logits, sizes, { topK });
    expect(layer.gains.bias!.mean + layer.gains.bias!.halfWidth!).toBeLessThan(0);
    expect(layer.a!.biased!.maxVioBatch.mean).toBeLessThan(layer.a!.plain.maxVioBatch.mean / 2);
    expect(layer.verdict.kind).toBe("leave it");
    expect(layer.verdict.reason).toContain("adds");
  });

  it("finds imbalance of the batch, if other experts are hot in each", async () => {
    const logits = skewed("bursts", sizes, (step, e) => (e === (5 * step) % 16 ? 2 : 0));
    const layer = await ofLogits(logits, sizes, { topK });
    expect(layer.origin).toBe("batch");
    expect(layer.maxVioRun).toBeLessThan(layer.maxVioBatch.mean / 3);
  });

  it("is not enough data for a few tokens", async () => {
    const layer = await ofLogits(collapsed.subarray(0, 12 * 16), [1, 12, 16], { topK });
    expect(layer.verdict.kind).toBe("not enough data");
    expect(layer.verdict.reason).toContain("pairs per expert");
  });

  it.each([
    [[20, 16, 4] as const, 4],
    [[20, 16, 1] as const, 1],
  ])("is to leave layers in which tokens have no choice (%j)", async (shape, all) => {
    const layer = await ofLogits(randomLogits("all", shape[0] * shape[1], shape[2]), shape, { topK: all, gpus: 1 });
    expect(layer).toMatchObject({ maxVioRun: 0, chanceRun: 0, idleExperts: [] });
    expect(layer.verdict).toMatchObject({
      kind: "leave it",
      reason: "Every token has every expert, so the loads are equal.",
    });
  });

  it("is the same for one long step, which is cut into blocks", async () => {
    const whole = await diagnose(float32Npy([40 * 256, 16], collapsed), { topK });
    expect(whole.batch).toBe("320 consecutive tokens");
    expect(whole.notes.join(" ")).toContain("blocks of up to 320 consecutive tokens stand for batches");
    const [layer] = whole.layers;
    expect(layer).toMatchObject({ batches: 32, verdict: { kind: "a bias would do" } });
    expect(layer.maxVioRun).toBe((await ofLogits(collapsed, sizes, { topK })).maxVioRun);
    const cut = await diagnose(float32Npy([40 * 256, 16], collapsed), { topK, batchTokens: 256 });
    const { layers } = await diagnose(float32Npy(sizes, collapsed), { topK });
    expect(cut.layers).toEqual(layers);
  });
});

describe("what is no token and no expert", () => {
  it("leaves out experts that are disabled for all tokens, as if they were not there", async () => {
    const [steps, tokens, experts] = sizes;
    const wide = new Float32Array(steps * tokens * (experts + 1));
    for (let token = 0; token < steps * tokens; token++) {
      wide.set(collapsed.subarray(token * experts, token * experts + 3), token * (experts + 1));
      wide[token * (experts + 1) + 3] = Number.NEGATIVE_INFINITY;
      wide.set(collapsed.subarray(token * experts + 3, (token + 1) * experts), token * (experts + 1) + 4);
    }
    const expected = await ofLogits(collapsed, sizes, { topK });
    const found = await ofLogits(wide, [steps, tokens, experts + 1], { topK });
    expect(found.load[3]).toBe(-1);
    expect(found).toMatchObject({
      experts: 16,
      maxVioRun: expected.maxVioRun,
      maxVioBatch: expected.maxVioBatch,
      chanceBatch: expected.chanceBatch,
      dropped: expected.dropped,
      verdict: expected.verdict,
    });
    expect(found.bias!.values[3]).toBe(0);
    expect(found.optimum!.upperBound).toBeCloseTo(expected.optimum!.upperBound, 4);
  });

  it("tells why no bias is fitted if every token has a disabled expert of its own", async () => {
    const logits = collapsed.map((logit, entry) => {
      return Math.floor(entry / 16) % 16 === entry % 16 ? Number.NEGATIVE_INFINITY : logit;
    });
    const layer = await ofLogits(logits, sizes, { topK });
    expect(layer).toMatchObject({ bias: null, biasProblem: "every token of part A has a disabled expert of its own" });
    expect(layer.verdict.kind).toBe("not enough data");
  });

  it("leaves padding out, as if it were not there", async () => {
    const [steps, tokens, experts] = [20, 64, 16] as const;
    const padded = new Float32Array(steps * tokens * 2 * experts).fill(Number.NaN);
    const mask: number[] = [];
    for (let token = 0; token < steps * tokens; token++) {
      padded.set(collapsed.subarray(token * experts, (token + 1) * experts), 2 * token * experts);
      mask.push(0, 1);
    }
    const { write } = recordedFolder();
    const paddingMask = write("mask.npy", npyBytes(npyHeader("|b1", [mask.length]), Uint8Array.from(mask)));
    const found = await ofLogits(padded, [steps, 2 * tokens, experts], { topK, paddingMask });
    const own = await ofLogits(collapsed.subarray(0, steps * tokens * experts), [steps, tokens, experts], { topK });
    expect(found).toEqual(own);
  });

  it("names a logit that is NaN", async () => {
    const logits = randomLogits("bad", 16 * 8, 4);
    logits[5 * 8 * 4 + 2 * 4 + 1] = Number.NaN;
    const problem = ofLogits(logits, [16, 8, 4], { topK: 1 });
    await expect(problem).rejects.toThrow("the logit of step 5, token 2 of that step, expert 1 is NaN");
  });
});

describe("recordings without logits", () => {
  /** Choices of `tokens` tokens: experts 0 and 1, on the same GPU, are in two of three. */
  const choices = Array.from({ length: 4000 }, (_, token) => {
    const other = 2 + ((token * 7) % 6);
    return token % 3 === 0 ? [other, 2 + ((token * 7 + 1) % 6)] : [token % 3 === 1 ? 0 : 1, other];
  });

  it("judges a placement of choices, and says that there is no bias", async () => {
    const { layers, notes } = await diagnose(
      int32Npy([4000, 2], choices.flat()),
      { experts: 8, gpus: 4 },
      { experts: 8 },
    );
    const [layer] = layers;
    expect(notes.join(" ")).toContain("no bias is fitted");
    expect(layer).toMatchObject({ bias: null, optimum: null, tokens: 4000, verdict: { kind: "placement would do" } });
    expect(layer.b!.biased).toBe(null);
    expect(layer.b!.plain.score).toBe(null);
    const gpus = [0, 1, 2, 3].map((gpu) => Array.from(layer.placement!.moves.subarray(2 * gpu, 2 * gpu + 2)));
    // The two hot experts are apart.
    expect(gpus.some((experts) => experts.includes(0) && experts.includes(1))).toBe(false);
  });

  it("cannot judge any remedy of choices without GPUs", async () => {
    const { layers } = await diagnose(int32Npy([4000, 2], choices.flat()), {}, { experts: 8 });
    expect(layers[0]).toMatchObject({ origin: "run", verdict: { kind: "not enough data" } });
    expect(layers[0].verdict.reason).toContain("placement needs the number of GPUs");
  });

  it("tells the imbalance of a single step of loads, and that nothing can be judged", async () => {
    const { layers } = await diagnose(int32Npy([1, 4], [40, 20, 20, 0]), { gpus: 2 }, { as: "loads" });
    expect(layers[0]).toMatchObject({
      batches: 1,
      maxVioRun: 1,
      idleExperts: [3],
      a: null,
      b: null,
      dropped: [0.25, 0.1875, 0.125, 0],
      verdict: { kind: "not enough data" },
    });
    expect(layers[0].slowdownExcess.mean).toBe(0.5);
    expect(layers[0].verdict.reason).toContain("a single batch");
  });

  it("reads layers apart, leaves absent ones and empty steps out, and counts what each has", async () => {
    const rows = Array.from({ length: 24 }, (_, step) => [
      step === 5 ? [0, 0, 0, 0] : [400, 100, 100, 100],
      [0, 0, 0, 0],
      // Balanced but for chance.
      [3, 1, -1, -3].map((shift) => 175 + (step % 2 === 0 ? shift : -shift)),
    ]);
    const values = rows.flat(2);
    const { layers, absentLayers } = await diagnose(
      int32Npy([24, 3, 4], values),
      { gpus: 2 },
      { as: "loads", axes: ["steps", "layers", "experts"] },
    );
    expect(absentLayers).toEqual([1]);
    expect(layers.map(({ layer, batches, emptyBatches }) => [layer, batches, emptyBatches])).toEqual([
      [0, 23, 1],
      [2, 24, 0],
    ]);
    expect(layers.map(({ verdict }) => verdict.kind)).toEqual(["placement would do", "leave it"]);
    // Moving cannot help: an expert outweighs a GPU. A replica can.
    expect(layers[0].verdict.remedy).toBe("replicas");
    expect(worstFirst({ layers }).map(({ layer }) => layer)).toEqual([0, 2]);
    expect(countVerdicts({ layers })).toEqual([
      { kind: "leave it", layers: [2] },
      { kind: "placement would do", layers: [0] },
    ]);
  });

  it("splits by pairs, with a step on either side at least", async () => {
    const loads = [
      [90, 10],
      [5, 5],
      [5, 5],
      [5, 5],
    ];
    const { layers } = await diagnose(int32Npy([4, 2], loads.flat()), {}, { as: "loads" });
    expect([layers[0].a!.batches, layers[0].b!.batches]).toEqual([1, 3]);
    const late = await diagnose(int32Npy([4, 2], loads.toReversed().flat()), { split: 0.01 }, { as: "loads" });
    expect([late.layers[0].a!.batches, late.layers[0].b!.batches]).toEqual([1, 3]);
  });

  it("cannot tell chance in shares", async () => {
    const shares = Array.from({ length: 20 }, () => [0.7, 0.1, 0.1, 0.1]).flat();
    const { layers } = await diagnose(float32Npy([20, 4], shares), {}, { as: "loads" });
    expect(layers[0]).toMatchObject({ chanceBatch: null, excess: null, origin: null, dropped: [] });
    expect(layers[0].verdict).toMatchObject({ kind: "not enough data" });
  });

  it("gives the slowdown of nodes, and keeps groups on one", async () => {
    const loads = Array.from({ length: 20 }, () => [800, 800, 100, 100, 100, 100, 100, 100]).flat();
    const { layers } = await diagnose(int32Npy([20, 8], loads), { gpus: 4, nodes: 2, groups: 4 }, { as: "loads" });
    const [{ b, placement }] = layers;
    expect(b!.nodeSlowdown!.mean).toBeCloseTo((1800 * 2) / 2200, 12);
    // The group of both hot experts stays together.
    const nodes = [placement!.moves.subarray(0, 4), placement!.moves.subarray(4)];
    expect(nodes.some((node) => node.includes(0) && node.includes(1))).toBe(true);
    expect(b!.moves!.nodeSlowdown!.mean).toBeGreaterThan(1.6);
  });
});

describe("what cannot be diagnosed", () => {
  const loads = int32Npy([2, 4], [1, 2, 3, 4, 4, 3, 2, 1]);
  it.each<[DiagnosisOptions, RecordingOptions, string]>([
    [{ batchTokens: 8 }, { as: "loads" }, "leave batchTokens out"],
    [{ paddingMask: "mask.npy" }, { as: "loads" }, "leave the padding mask out"],
    [{ nodes: 2 }, { as: "loads" }, "nodes: only together with gpus"],
    [{ gpus: 4, nodes: 3 }, { as: "loads" }, "4 GPUs do not divide evenly over 3 nodes"],
  ])("%j", async (options, reading, message) => {
    await expect(diagnose(loads, options, reading)).rejects.toThrow(message);
    await expect(diagnose(loads, options, reading)).rejects.toThrow(InputError);
  });

  it("logits without the experts per token, or more than there are experts", async () => {
    const logits = float32Npy([4, 4], new Float32Array(16));
    await expect(diagnose(logits)).rejects.toThrow("it holds logits; say how many experts per token");
    await expect(diagnose(logits, { topK: 5 })).rejects.toThrow("5 experts per token, but it has only 4 experts");
  });

  it("a recording without any load", async () => {
    await expect(diagnose(int32Npy([2, 4], new Array<number>(8).fill(0)), {}, { as: "loads" })).rejects.toThrow(
      "empty stream: no layer has a load",
    );
  });
});

it("says the verdict first, and what is left out last", async () => {
  const layers = [1, 2].flatMap(() => Array.from({ length: 4 }, () => 5));
  const both = await diagnose(int32Npy([1, 2, 4], layers), {}, { as: "loads", axes: ["steps", "layers", "experts"] });
  expect(headline(both)[0]).toBe("Not enough data: 2 layers (0-1).");
  expect(headline({ ...both, absentLayers: [2] }).at(-1)).toContain("Layer 2 has no load");
});

import { bench, describe } from "vitest";
import { createKernels, type Kernels } from "../src/core/kernels/index.ts";
import { createRandom } from "../src/core/random.ts";
import { findRouterKind } from "../src/core/routers/index.ts";
import { findStreamKind } from "../src/core/streams/index.ts";

// The size at which routers are compared: a batch of DeepSeek-V3's shape, on one thread.
const shape = { steps: 1_000_000, tokens: 8192, experts: 256, topK: 8, capacityFactor: 1 };
const { tokens, experts, topK } = shape;

async function openStream(kernels: Kernels, kind: string) {
  const streamKind = findStreamKind(kind)!;
  const random = createRandom("bench");
  return streamKind.create({ shape, kernels, random, folder: "." }, streamKind.options.parse({}));
}

async function logitsOf(kernels: Kernels): Promise<Float32Array> {
  const stream = await openStream(kernels, "clusters");
  return (await stream.next())!.logits;
}

describe.each(["wasm", "reference"] as const)("kernels, %s", async (backend) => {
  const kernels = createKernels(backend);
  const logits = await logitsOf(kernels);
  const out = kernels.allocateFloat32(tokens * experts);
  const gibbs = kernels.allocateFloat32(tokens * experts);
  const columnScaling = kernels.allocateFloat32(experts).fill(1);
  const columnSum = kernels.allocateFloat64(experts);
  kernels.gibbsSweep(logits, 1, tokens, experts, gibbs, columnSum);
  const expert = kernels.allocateInt32(tokens * topK);
  const load = kernels.allocateInt32(experts);
  const gate = kernels.allocateFloat32(tokens * topK);
  const generator = kernels.allocateUint32(16).fill(1);

  bench("sinkhorn-sweep", () => kernels.sinkhornSweep(gibbs, columnScaling, tokens, experts, columnSum));
  bench("softmax", () => kernels.scores(logits, "softmax", tokens, experts, out));
  bench("topk-step: softmax, top-8, gates, loads", () => {
    kernels.scores(logits, "softmax", tokens, experts, out);
    kernels.selectTopK(logits, "softmax", null, tokens, experts, topK, expert, load);
    kernels.gates(logits, "softmax", true, expert, tokens, experts, topK, gate);
  });
  const mass = kernels.allocateFloat64(tokens * topK);
  const potential = kernels.allocateFloat64(experts);
  bench("sparse rows of a transport plan, top-8", () => {
    columnSum.fill(0);
    kernels.sparseRows(logits, potential, 1, tokens, experts, topK, expert, mass, columnSum);
  });
  const capacity = (tokens * topK) / experts;
  const cost = kernels.allocateFloat64(tokens * experts);
  for (let e = 0; e < experts; e++) {
    for (let t = 0; t < tokens; t++) cost[e * tokens + t] = -logits[t * experts + e];
  }
  const alpha = kernels.allocateFloat64(tokens);
  const near = kernels.allocateFloat64(2 * experts).fill(Number.NaN);
  const slackSum = kernels.allocateFloat64(experts);
  const slackSquares = kernels.allocateFloat64(experts);
  const rowSum = kernels.allocateFloat64(tokens);
  bench(`sparse columns of a transport plan, top-${capacity}`, () => {
    rowSum.fill(0);
    kernels.sparseColumns(
      cost,
      alpha,
      potential,
      null,
      1,
      tokens,
      experts,
      capacity,
      near,
      load,
      expert,
      mass,
      slackSum,
      slackSquares,
      rowSum,
    );
  });
  bench("fill-normal", () => kernels.fillNormal(generator, out, tokens * experts));
});

describe("routers, one batch, wasm", async () => {
  const kernels = createKernels("wasm");
  const logits = await logitsOf(kernels);
  const adam = { solver: "adam", maxIterations: 20 };
  for (const { kind, label, options } of [
    ...["topk", "noisy-topk", "grouped-topk", "alf-lb", "aux-loss", "sinkhorn", "expert-choice", "hash"].map(
      (kind) => ({
        kind,
        label: kind,
        options: {},
      }),
    ),
    { kind: "scot", label: "scot: tokens, 20 steps of Adam", options: { sparsity: "tokens", ...adam } },
    { kind: "scot", label: "scot: experts, 20 steps of Adam", options: adam },
    { kind: "scot", label: "scot: experts", options: {} },
  ]) {
    const routerKind = findRouterKind(kind)!;
    const context = { shape, scores: "softmax" as const, kernels, trained: false, random: createRandom(kind) };
    const router = routerKind.create(context, routerKind.options.parse(options));
    let step = 0;
    bench(label, () => {
      router.route({ step: step++, tokens, experts, logits });
    });
  }
});

describe("streams, one batch, wasm", async () => {
  const kernels = createKernels("wasm");
  for (const kind of ["clusters", "drift", "bursty", "gaussian", "adversarial", "zipf-text"]) {
    const stream = await openStream(kernels, kind);
    bench(kind, async () => {
      await stream.next();
    });
  }
});

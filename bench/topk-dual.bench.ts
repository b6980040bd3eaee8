import { bench, describe } from "vitest";
import { createRandom } from "../src/core/random.ts";
import { createKernels } from "../src/kernels/index.ts";
import { findStreamKind } from "../src/streams/index.ts";

describe.each([
  { tokens: 8192, experts: 256, topK: 8 },
  { tokens: 4096, experts: 64, topK: 8 },
])("smoothed top-k dual, $tokens × $experts, $topK of them", async ({ tokens, experts, topK }) => {
  const kernels = createKernels("wasm");
  const kind = findStreamKind("clusters")!;
  const shape = { steps: 10, tokens, experts, topK, capacityFactor: 1 };
  const context = { shape, kernels, random: createRandom("bench"), folder: "." };
  const stream = await kind.create(context, kind.options.parse({}));
  const { logits } = (await stream.next())!;
  const scores = kernels.allocateFloat64(tokens * experts);
  const price = kernels.allocateFloat64(experts);
  const threshold = kernels.allocateFloat64(tokens);
  const mass = kernels.allocateFloat64(experts);
  const curvature = kernels.allocateFloat64(experts * experts);
  kernels.affinities(logits, "softmax", tokens, experts, scores);
  const relaxed = (width: number, slope: Float64Array | null) =>
    kernels.relaxedTopK(scores, price, width, 0, tokens, experts, topK, threshold, mass, slope);

  bench("affinities, softmax in float64", () => kernels.affinities(logits, "softmax", tokens, experts, scores));
  bench("relaxed-topk, cold", () => {
    threshold.fill(Number.NaN);
    relaxed(1e-3, null);
  });
  bench("relaxed-topk, warm, width 1e-2", () => {
    relaxed(1e-2, null);
  });
  bench("relaxed-topk, warm, width 1e-3", () => {
    relaxed(1e-3, null);
  });
  bench("relaxed-topk, warm, width 1e-3, with curvature", () => {
    relaxed(1e-3, curvature);
  });
  bench("relaxed-topk, warm, width 1e-5", () => {
    relaxed(1e-5, null);
  });
  bench("relaxed-topk, width 0", () => {
    relaxed(0, null);
  });
});

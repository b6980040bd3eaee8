import { bench, describe } from "vitest";
import { createKernels } from "../src/core/kernels/index.ts";
import { createRandom } from "../src/core/random.ts";
import { findStreamKind } from "../src/core/streams/index.ts";
import { createPriceSearch } from "../src/core/transport/assignment/price-search.ts";

describe.each([
  { tokens: 8192, experts: 256, topK: 8 },
  { tokens: 4096, experts: 64, topK: 8 },
])("smoothed top-k dual, $tokens × $experts, $topK of them", async ({ tokens, experts, topK }) => {
  const kernels = createKernels("wasm");
  const kind = findStreamKind("clusters")!;
  const shape = { steps: 10, tokens, experts, topK, capacityFactor: 1 };
  const context = { shape, kernels, random: createRandom("bench"), folder: "." };
  const stream = await kind.create(context, kind.options.parse({}));
  // The prices of the batch before are where a warm search begins.
  const before = (await stream.next())!.logits.slice();
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

  const capacity = Math.ceil((tokens * topK) / experts);
  const search = createPriceSearch(kernels, tokens, experts, topK);
  const scoresBefore = kernels.allocateFloat64(tokens * experts);
  const logitsBefore = kernels.allocateFloat32(tokens * experts);
  logitsBefore.set(before.subarray(0, tokens * experts));
  kernels.affinities(logitsBefore, "softmax", tokens, experts, scoresBefore);
  const priceBefore = new Float64Array(experts);
  search.improve(scoresBefore, tokens, capacity, priceBefore, false);

  bench("price search, cold", () => {
    search.improve(scores, tokens, capacity, new Float64Array(experts), false);
  });
  bench("price search, warm", () => {
    search.improve(scores, tokens, capacity, priceBefore.slice(), true);
  });
});

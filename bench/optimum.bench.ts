import { bench, describe } from "vitest";
import { createKernels } from "../src/core/kernels/index.ts";
import { createRandom } from "../src/core/random.ts";
import { findStreamKind } from "../src/core/streams/index.ts";
import { createAssignmentSolver } from "../src/core/transport/assignment/exact-assignment.ts";

/** Affinities of batches that follow one another, and a solver for them. */
async function problemsOf(tokens: number, experts: number, topK: number, gap: number) {
  const kernels = createKernels();
  const clusters = findStreamKind("clusters")!;
  const shape = { steps: 4, tokens, experts, topK, capacityFactor: 1 };
  const context = { shape, kernels, random: createRandom("bench"), folder: "." };
  const stream = await clusters.create(context, clusters.options.parse({}));
  const problems: Float64Array[] = [];
  for (let batch = await stream.next(); problems.length < shape.steps && batch !== null; batch = await stream.next()) {
    const scores = kernels.allocateFloat64(tokens * experts);
    kernels.affinities(batch.logits, "softmax", tokens, experts, scores);
    problems.push(scores);
  }
  const capacity = Math.ceil((tokens * topK) / experts);
  const solver = createAssignmentSolver(kernels, tokens, experts, topK, { gap });
  return { solver, problems: problems.map((scores) => ({ scores, tokens, capacity })) };
}

describe.each([
  [1024, 16, 2, 0],
  [2048, 64, 8, 0],
  [4096, 64, 8, 0],
  [8192, 256, 8, 0],
  [8192, 256, 8, 1e-4],
])("optimum of %i tokens × %i experts, top-%i, gap %d", async (tokens, experts, topK, gap) => {
  const { solver, problems } = await problemsOf(tokens, experts, topK, gap);
  let next = 0;
  bench("cold", () => {
    solver.price.fill(0);
    solver.solve(problems[next++ % problems.length]);
  });
  bench("warm, from the batch before", () => {
    solver.solve(problems[next++ % problems.length]);
  });
});

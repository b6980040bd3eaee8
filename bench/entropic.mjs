// Iterations and time to a marginal error of 1e-8, plain Sinkhorn against Sinkhorn–Newton–Sparse, as a Markdown table:
// `npm run build && node bench/entropic.mjs`. Times of sns are the least of three; Sinkhorn runs once, since it takes long.

import "../dist/node/platform.js";
import { createKernels } from "../dist/core/kernels/index.js";
import { createRandom } from "../dist/core/random.js";
import { findStreamKind } from "../dist/core/streams/index.js";
import { createEntropicSolver } from "../dist/core/transport/entropic/entropic.js";

const tolerance = 1e-8;
const epsilons = [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005];
// The most sweeps that are worth waiting for.
const shapes = [
  { tokens: 2048, experts: 64, maxSweeps: 20_000 },
  { tokens: 8192, experts: 256, maxSweeps: 2000 },
];

async function clustersLogits(kernels, { tokens, experts }) {
  const kind = findStreamKind("clusters");
  const shape = { steps: 1, tokens, experts };
  const context = { shape, kernels, random: createRandom("bench"), folder: "." };
  const stream = await kind.create(context, kind.options.parse({}));
  return (await stream.next()).logits;
}

function measure(solver, problem, repetitions) {
  let least = Number.POSITIVE_INFINITY;
  let solution;
  for (let i = 0; i < repetitions; i++) {
    const start = performance.now();
    solution = solver.solve(problem);
    least = Math.min(least, performance.now() - start);
  }
  return { ...solution, milliseconds: least };
}

function cell({ iterations, marginalError, converged, milliseconds }) {
  const time = `${Number(milliseconds.toPrecision(3))} ms`;
  return converged
    ? `${iterations} | ${time}`
    : `${iterations}, not reached: error ${marginalError.toExponential(1)} | ${time}`;
}

process.stdout.write("| tokens × experts | ε | sinkhorn: iterations | time | sns: iterations | time | ratio |\n");
process.stdout.write("|---|---|---|---|---|---|---|\n");
for (const shape of shapes) {
  const kernels = createKernels("wasm");
  const problem = { logits: await clustersLogits(kernels, shape), tokens: shape.tokens };
  for (const epsilon of epsilons) {
    const solverOf = (solver, maxIterations) =>
      createEntropicSolver(kernels, shape.tokens, shape.experts, { solver, epsilon, maxIterations, tolerance });
    const plain = measure(solverOf("sinkhorn", shape.maxSweeps), problem, 1);
    const sns = measure(solverOf("sns", 1000), problem, 3);
    const ratio = `${plain.converged ? "" : "> "}${Number((plain.milliseconds / sns.milliseconds).toPrecision(2))}`;
    process.stdout.write(
      `| ${shape.tokens} × ${shape.experts} | ${epsilon} | ${cell(plain)} | ${cell(sns)} | ${ratio} |\n`,
    );
  }
}

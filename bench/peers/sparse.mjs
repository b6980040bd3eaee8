// `scot` with its defaults beside POT's solver of the same problem, which is by an author of the method: softmax costs, at
// most T·K/E tokens a column, γ = 1. Needs `npm run build`, and a python3 with POT ≥ 0.9 (`pip install pot`), or the one
// that PYTHON names. Both take turns, on one thread.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { median, min } from "d3-array";
import "../../dist/node/platform.js";
import { formatTable } from "../../dist/cli/text/table.js";
import { createKernels } from "../../dist/core/kernels/index.js";
import { createSparsityConstrainedSolver } from "../../dist/core/transport/sparse/sparsity-constrained.js";
import { prepareBenchmark } from "../../dist/node/run/benchmarks.js";
import { oneThread, startPeer } from "./peer.mjs";

const sizes = [
  { tokens: 1024, experts: 32, topK: 2 },
  { tokens: 2048, experts: 64, topK: 4 },
];
const rounds = 5;
// Solutions of ours in a round, which take a tenth of the peer's time.
const repeats = 8;
const gamma = 1;
const folder = mkdtempSync(path.join(tmpdir(), "moesim-sparse-"));

function startPot(cost, { tokens, experts }, maxTokens) {
  const file = path.join(folder, `${tokens}.f32`);
  writeFileSync(file, Buffer.from(cost.buffer));
  return startPeer("sparse.py", [file, tokens, experts, maxTokens, gamma], oneThread);
}

const rows = [];
let versions;
try {
  for (const size of sizes) {
    const { tokens, experts, topK } = size;
    const { logits } = await prepareBenchmark("topk-step", size);
    const maxTokens = (tokens * topK) / experts;
    const kernels = createKernels("wasm");
    const own = kernels.allocateFloat32(tokens * experts);
    own.set(logits);
    const affinity = kernels.allocateFloat32(tokens * experts);
    kernels.scores(own, "softmax", tokens, experts, affinity);
    const options = {
      formulation: "dual",
      gamma,
      solver: "lbfgs",
      learningRate: 0.01,
      maxIterations: 200,
      tolerance: 1e-5,
    };
    const solver = createSparsityConstrainedSolver(kernels, tokens, experts, maxTokens, options);
    const peer = await startPot(
      Float32Array.from(affinity, (score) => -score),
      size,
      maxTokens,
    );
    versions = peer.versions;
    const [ours, theirs] = [[], []];
    let [solution, answer] = [solver.solve({ affinity, tokens, maxTokens }), await peer.ask()];
    for (let round = 0; round < rounds; round++) {
      for (let repeat = 0; repeat < repeats; repeat++) {
        const start = performance.now();
        solution = solver.solve({ affinity, tokens, maxTokens });
        ours.push(performance.now() - start);
      }
      answer = await peer.ask();
      theirs.push(answer.ms);
    }
    peer.stop();
    rows.push([
      `${tokens} × ${experts}`,
      median(ours),
      median(theirs),
      median(theirs) / median(ours),
      min(theirs) / min(ours),
      solution.marginalError,
      answer.missed,
      solution.primal,
      answer.value,
    ]);
  }
} finally {
  rmSync(folder, { recursive: true });
}
const header = [
  "tokens × experts",
  "ours\nms",
  "POT\nms",
  "ratio",
  "of the\nleast",
  "our marginal\nerror",
  "its rows\nmiss 1 by",
  "our\nvalue",
  "its\nvalue",
];
process.stdout.write(
  `at most T·K/E tokens a column, γ = 1, stream "clusters"; ours and POT by turns on one thread; medians\n` +
    `${cpus()[0].model}, Node ${process.version}, ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}\n${formatTable(header, rows)}\n`,
);

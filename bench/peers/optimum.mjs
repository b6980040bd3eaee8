// The maximum-score assignment by this project and by HiGHS, one after the other on the same machine. Needs `npm run
// build`, and a python3 with scipy (`install.sh`), or the one that PYTHON names.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { median } from "d3-array";
import { formatTable } from "../../dist/cli/text/table.js";
import "../../dist/node/platform.js";
import { createKernels } from "../../dist/core/kernels/index.js";
import { createRandom } from "../../dist/core/random.js";
import { findStreamKind } from "../../dist/core/streams/index.js";
import { createAssignmentSolver } from "../../dist/core/transport/assignment/exact-assignment.js";

const sizes = [
  { tokens: 1024, experts: 16, topK: 2, withHighs: true },
  { tokens: 2048, experts: 64, topK: 4, withHighs: true },
  { tokens: 4096, experts: 64, topK: 8, withHighs: true },
  { tokens: 8192, experts: 256, topK: 8, withHighs: false },
];
const ownRepeats = 7;
const highsRepeats = 3;
const folder = mkdtempSync(path.join(tmpdir(), "moesim-peers-"));

/** Softmax affinities of a batch of the stream `clusters`. */
async function drawScores(kernels, tokens, experts) {
  const clusters = findStreamKind("clusters");
  const context = { shape: { steps: 1, tokens, experts }, kernels, random: createRandom("peers"), folder: "." };
  const stream = await clusters.create(context, clusters.options.parse({}));
  const { logits } = await stream.next();
  const scores = kernels.allocateFloat64(tokens * experts);
  kernels.affinities(logits, "softmax", tokens, experts, scores);
  return scores;
}

/** Value and median time, from prices of 0 every time: nothing is known of a problem before. */
function solveOurs(kernels, scores, { tokens, experts, topK }, capacity) {
  const solver = createAssignmentSolver(kernels, tokens, experts, topK, { gap: 0 });
  let solution;
  const ms = Array.from({ length: ownRepeats }, () => {
    solver.price.fill(0);
    const start = performance.now();
    solution = solver.solve({ scores, tokens, capacity });
    return performance.now() - start;
  });
  if (!solution.exact) throw new Error(`${tokens} × ${experts}, K ${topK}: the solver gives no proof of its optimum`);
  return { value: solution.value, ms: median(ms) };
}

/** What `optimum.py` prints, and of its ways of solving the one with the least median time. */
function solveHighs(scores, { tokens, experts, topK }, capacity) {
  const file = path.join(folder, "scores.f64");
  writeFileSync(file, Buffer.from(Float64Array.from(scores).buffer));
  const script = fileURLToPath(new URL("optimum.py", import.meta.url));
  const words = [script, file, tokens, experts, topK, capacity, highsRepeats].map(String);
  const { status, stdout, error } = spawnSync(process.env.PYTHON ?? "python3", words, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw error ?? new Error(`optimum.py ended with code ${status}; has install.sh been run?`);
  const { scipy, set_up_ms, solutions } = JSON.parse(stdout);
  const timed = solutions.map(({ name, value, ms }) => ({ name, value, ms: median(ms) }));
  const [fastest] = timed.toSorted((a, b) => a.ms - b.ms);
  return { scipy, setUpMs: set_up_ms, timed, fastest };
}

const header = ["tokens", "experts", "K", "ours, ms", "HiGHS, ms", "ratio", "its set-up, ms", "HiGHS by"];
const rows = [];
let scipyVersion;
try {
  for (const size of sizes) {
    const { tokens, experts, topK, withHighs } = size;
    const kernels = createKernels();
    const scores = await drawScores(kernels, tokens, experts);
    const capacity = Math.ceil((tokens * topK) / experts);
    const ours = solveOurs(kernels, scores, size, capacity);
    const row = [tokens, experts, topK, ours.ms];
    if (!withHighs) row.push(null, null, null, null);
    else {
      const { scipy, setUpMs, timed, fastest } = solveHighs(scores, size, capacity);
      for (const { name, value } of timed) {
        // HiGHS takes reduced costs for optimal that are off by 1e-7, so the last digits differ.
        if (Math.abs(value - ours.value) > 1e-9 * ours.value) {
          throw new Error(
            `${tokens} × ${experts}, K ${topK}: HiGHS (${name}) found ${value}, this project ${ours.value}`,
          );
        }
      }
      scipyVersion = scipy;
      row.push(fastest.ms, fastest.ms / ours.ms, setUpMs, fastest.name);
    }
    rows.push(row);
  }
} finally {
  rmSync(folder, { recursive: true });
}
process.stdout.write(
  `Maximum-score assignment of softmax scores from the stream "clusters", medians of ${ownRepeats} and ${highsRepeats} runs\n`,
);
process.stdout.write(
  `${cpus()[0].model}, Node ${process.version}, HiGHS of scipy ${scipyVersion}\n${formatTable(header, rows)}\n`,
);

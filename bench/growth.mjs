// How the cost of a step grows with tokens and with experts, of each router and of the exact optimum, as a Markdown table:
// `npm run build && node bench/growth.mjs [NAME…]`, of those named or of all. Times are medians; the exponent is the slope of
// the least-squares line through their logarithms, with its standard error. A series ends where a step has taken too long,
// for the whole to take minutes.
import { median, sum } from "d3-array";
import { linearRegression, linearRegressionLine, mean } from "simple-statistics";
import "../dist/node/platform.js";
import { createKernels } from "../dist/core/kernels/index.js";
import { createOptimumFinder } from "../dist/core/metrics/regret.js";
import { createRandom } from "../dist/core/random.js";
import { routerKinds } from "../dist/core/routers/index.js";
import { findStreamKind } from "../dist/core/streams/index.js";

const topK = 8;
const [fixedTokens, fixedExperts] = [8192, 64];
const tokenCounts = [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
const expertCounts = [8, 16, 32, 64, 128, 256, 512];
// Steps that are timed at one size after two that are not, at most, and no more once they have taken so long together.
const mostSteps = 25;
const enoughMilliseconds = 400;
// A series goes on while its steps take less, in milliseconds.
const longestStep = 2500;

/** Batches of `clusters`, one after the other, as a function that makes the next. */
async function openStream(kernels, shape) {
  const kind = findStreamKind("clusters");
  const context = { shape: { ...shape, steps: mostSteps + 2 }, kernels, random: createRandom("growth"), folder: "." };
  return kind.create(context, kind.options.parse({}));
}

/** What is timed, as functions that prepare a size and return the work on a batch. */
const subjects = [
  ...routerKinds.map((kind) => ({
    name: kind.kind,
    prepare(kernels, shape) {
      const scores = kind.defaultScores ?? "softmax";
      const context = { shape, scores, kernels, random: createRandom(kind.kind) };
      const router = kind.create(context, kind.options.parse({}));
      return (batch) => router.route(batch);
    },
  })),
  {
    name: "exact optimum",
    prepare(kernels, shape) {
      const finder = createOptimumFinder(kernels, shape, 0);
      const scores = kernels.allocateFloat64(shape.tokens * shape.experts);
      return ({ logits, tokens, experts }) => {
        kernels.affinities(logits, "softmax", tokens, experts, scores);
        finder.find(scores, tokens);
      };
    },
  },
];

/** The median time of a step at one size, in milliseconds. */
async function stepTime({ prepare }, tokens, experts) {
  const kernels = createKernels("wasm");
  const shape = { tokens, experts, topK: Math.min(topK, experts / 2), capacityFactor: 1 };
  const work = prepare(kernels, shape);
  const stream = await openStream(kernels, shape);
  const times = [];
  for (let step = 0; step < 3 || (step < mostSteps + 2 && sum(times) < enoughMilliseconds); step++) {
    const batch = await stream.next();
    const start = performance.now();
    work(batch);
    times.push(performance.now() - start);
  }
  return median(times.slice(2));
}

/** Times over `sizes` until one is too long; `shapeOf` makes tokens and experts of a size. */
async function series(subject, sizes, shapeOf) {
  const points = [];
  for (const size of sizes) {
    const milliseconds = await stepTime(subject, ...shapeOf(size));
    points.push({ size, milliseconds });
    if (milliseconds > longestStep) break;
  }
  return points;
}

/** The slope of log time over log size, and its standard error. */
function exponentOf(points) {
  if (points.length < 3) return null;
  const logs = points.map(({ size, milliseconds }) => [Math.log(size), Math.log(milliseconds)]);
  const line = linearRegression(logs);
  const valueAt = linearRegressionLine(line);
  const residual = sum(logs, ([x, y]) => (y - valueAt(x)) ** 2) / (logs.length - 2);
  const centre = mean(logs.map(([x]) => x));
  return { slope: line.m, error: Math.sqrt(residual / sum(logs, ([x]) => (x - centre) ** 2)) };
}

function cells(points, sizes) {
  const last = points.at(-1);
  const exponent = exponentOf(points);
  const range = `${points[0].milliseconds.toPrecision(2)} … ${Number(last.milliseconds.toPrecision(3))} ms`;
  const end = last.size === sizes.at(-1) ? "" : `, up to ${last.size}`;
  return `${range}${end} | ${exponent === null ? "–" : `${exponent.slope.toFixed(2)} ± ${exponent.error.toFixed(2)}`}`;
}

process.stdout.write(
  `| | ${tokenCounts[0]} … ${tokenCounts.at(-1)} tokens × ${fixedExperts} experts | exponent of tokens ` +
    `| ${fixedTokens} tokens × ${expertCounts[0]} … ${expertCounts.at(-1)} experts | exponent of experts |\n`,
);
process.stdout.write("|---|---:|---:|---:|---:|\n");
const named = process.argv.slice(2);
for (const subject of subjects.filter(({ name }) => named.length === 0 || named.includes(name))) {
  const byTokens = await series(subject, tokenCounts, (tokens) => [tokens, fixedExperts]);
  const byExperts = await series(subject, expertCounts, (experts) => [fixedTokens, experts]);
  process.stdout.write(`| ${subject.name} | ${cells(byTokens, tokenCounts)} | ${cells(byExperts, expertCounts)} |\n`);
}

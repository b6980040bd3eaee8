// Milliseconds of a router's step on each backend that loads here, as a Markdown table:
// `npm run build && node bench/backends.mjs`. Median and least of the repetitions, after two that are not counted; the
// backends take turns, so that a busy moment of the machine meets all of them.

import "../dist/node/platform.js";
import { createKernels, loadKernels } from "../dist/core/kernels/index.js";
import { createRandom } from "../dist/core/random.js";
import { findRouterKind } from "../dist/core/routers/index.js";
import { findStreamKind } from "../dist/core/streams/index.js";

const repetitions = 15;
const shapes = [
  { tokens: 8192, experts: 256, topK: 8 },
  { tokens: 1024, experts: 16, topK: 2 },
];
const routers = ["topk", "alf-lb", "sinkhorn"];

async function clustersLogits({ tokens, experts }) {
  const kind = findStreamKind("clusters");
  const context = { shape: { steps: 1, tokens, experts }, random: createRandom("bench"), folder: "." };
  const stream = await kind.create({ ...context, kernels: createKernels() }, kind.options.parse({}));
  return (await stream.next()).logits;
}

async function available(names) {
  const loaded = await Promise.allSettled(names.map(loadKernels));
  return loaded.flatMap(({ status, value }) => (status === "fulfilled" ? [value] : []));
}

/** A step of `kind` on `kernels`, from logits to gates and loads. */
function stepOf(kind, kernels, shape, values) {
  const { create, options, defaultScores = "softmax" } = findRouterKind(kind);
  const random = createRandom("bench");
  const router = create(
    { shape: { ...shape, capacityFactor: 1 }, scores: defaultScores, kernels, trained: false, random },
    options.parse({}),
  );
  const logits = kernels.allocateFloat32(values.length);
  logits.set(values);
  let step = 0;
  return () => router.route({ step: step++, logits, ...shape });
}

const rounded = (milliseconds) => Number(milliseconds.toPrecision(3));

// The last to load is the one that tensors are on, so tfjs-gpu is measured in a process of its own: `… tfjs-gpu`.
const backends = await available(["wasm", process.argv[2] ?? "tfjs"]);
const names = backends.map(({ backend }) => backend);
process.stdout.write(
  `| tokens × experts, K | router | ${names.map((name) => `${name}: median | minimum`).join(" | ")} | ratio |\n`,
);
process.stdout.write(`|---|---|${names.map(() => "---:|---:|").join("")}---:|\n`);
for (const shape of shapes) {
  const values = await clustersLogits(shape);
  for (const kind of routers) {
    const steps = backends.map((kernels) => stepOf(kind, kernels, shape, values));
    const times = steps.map(() => []);
    for (let repetition = -2; repetition < repetitions; repetition++) {
      for (const [index, step] of steps.entries()) {
        const start = performance.now();
        step();
        if (repetition >= 0) times[index].push(performance.now() - start);
      }
    }
    const sorted = times.map((each) => each.toSorted((a, b) => a - b));
    const cells = sorted.map((each) => `${rounded(each[repetitions >> 1])} | ${rounded(each[0])}`);
    const ratio = rounded(sorted.at(-1)[0] / sorted[0][0]);
    process.stdout.write(
      `| ${shape.tokens} × ${shape.experts}, ${shape.topK} | \`${kind}\` | ${cells.join(" | ")} | ${ratio} |\n`,
    );
  }
}

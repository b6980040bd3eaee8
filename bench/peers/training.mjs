// A training step of docs/training.md by this project and in PyTorch, in turn on the same machine and one thread each, after a
// check that both learn the same: from the same parameters, on one batch, the loss of every step agrees. Needs `npm run build`
// and a python3 with torch (`install.sh`), or the one that PYTHON names.
//
// A step is everything from the batch's data to the updated parameters: token vectors, logits, top-k, experts, loss, gradients,
// Adam. Times are of the processor, not of the clock, since other programs on the machine slow both down.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { median, min } from "d3-array";
import { formatTable } from "../../dist/cli/text/table.js";
import { createKernels } from "../../dist/core/kernels/index.js";
import { createRandom } from "../../dist/core/random.js";
import { findRouterKind } from "../../dist/core/routers/index.js";
import { readTextTokens } from "../../dist/core/streams/parts/text-tokens.js";
import { createClustersTask } from "../../dist/core/streams/training/clusters-task.js";
import { createKernelModel } from "../../dist/core/streams/training/kernel-model.js";
import { createModelParameters } from "../../dist/core/streams/training/model.js";
import { createAdam, createParameters } from "../../dist/core/streams/training/parameters.js";
import { createTextTask } from "../../dist/core/streams/training/text-task.js";
import "../../dist/node/platform.js";
import { oneThread, startPeer } from "./peer.mjs";

const rounds = 7;
const learningRate = 0.003;
const small = { tokens: 1024, experts: 16, topK: 2, width: 64, hidden: 64, repeats: 20 };
const large = { tokens: 1024, experts: 64, topK: 8, width: 256, hidden: 512, repeats: 1 };
const cases = [
  { task: "clusters", ...small },
  { task: "text", ...small },
  { task: "clusters", ...large },
  { task: "text", ...large },
];
const folder = mkdtempSync(path.join(tmpdir(), "moesim-peers-"));
const scenarios = fileURLToPath(new URL("../../scenarios", import.meta.url));

/** Our model; writes what it starts from into `folder`. */
async function openOurs(sizes, folder) {
  const { task: name, tokens, experts, topK, width, hidden } = sizes;
  const kernels = createKernels();
  const random = createRandom("bench");
  const text = { context: 8, embedding: 16, vocabulary: 256, holdsBack: false };
  const task =
    name === "clusters"
      ? createClustersTask(kernels, random, width, { clusters: 16, exponent: 1, spread: 0.5, noise: 0.1, shift: [] })
      : createTextTask(kernels, await readTextTokens("texts/alice.txt", scenarios, "bytes"), text);
  const store = createParameters(kernels, random.derive("parameters"));
  const shape = { width, hidden, experts };
  const textShape = name === "text" ? { ...text, vocabulary: task.vocabulary } : null;
  const parameters = createModelParameters(store, shape, textShape);
  const batch = task.createBatch(tokens, "training");
  batch.draw(random.derive("step 0"), 0);
  const model = createKernelModel(kernels, shape, parameters, createAdam(kernels, learningRate)).open(batch);

  const shapes = {};
  const write = (name, shape, values) => {
    shapes[name] = shape;
    writeFileSync(path.join(folder, `${name.replace("/", " ")}.bin`), Buffer.from(values.slice().buffer));
  };
  for (const { parameters } of store.blocks)
    for (const { name, shape, values } of parameters) write(name, shape, values);
  if (name === "clusters") for (const key of ["x", "y"]) write(key, [tokens, width], batch[key]);
  else {
    write("contexts", [tokens, text.context], Int32Array.from(batch.contexts));
    write("next", [tokens], Int32Array.from(batch.next));
  }
  writeFileSync(path.join(folder, "sizes.json"), JSON.stringify({ ...sizes, learningRate, shapes }));

  const kind = findRouterKind("topk");
  const routing = {
    shape: { tokens, experts, topK, capacityFactor: 1 },
    scores: "softmax",
    kernels,
    trained: true,
    random,
  };
  const router = kind.create(routing, kind.options.parse({}));
  let count = 0;
  return () => {
    const routed = { step: count, tokens, experts, logits: model.logits() };
    const { assignment } = router.route(routed);
    count += 1;
    return model.learn(assignment, (ofGates, ofLogits) => router.backward(routed, ofGates, ofLogits), count).loss;
  };
}

function timeOurs(step, repeats) {
  return Array.from({ length: repeats }, () => {
    const start = process.cpuUsage();
    step();
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  });
}

const rows = [];
let versions;
try {
  for (const [index, sizes] of cases.entries()) {
    const { task, tokens, experts, topK, width, hidden, repeats } = sizes;
    const own = path.join(folder, String(index));
    mkdirSync(own);
    const step = await openOurs(sizes, own);
    const losses = Array.from({ length: 5 }, step);
    const peer = await startPeer("training.py", [own], oneThread);
    versions = peer.versions;
    for (const variant of peer.variants) {
      const theirs = (await peer.ask({ variant, steps: losses.length })).losses;
      for (const [i, loss] of losses.entries()) {
        // Float32 sums in another order, over five updates.
        if (!(Math.abs(theirs[i] - loss) < 1e-4 * loss))
          throw new Error(`${task}, ${variant}: losses ${losses} and ${theirs}`);
      }
      const times = { ours: [], theirs: [] };
      for (let round = 0; round < rounds; round++) {
        times.ours.push(...timeOurs(step, repeats));
        times.theirs.push(...(await peer.ask({ variant, repeats })).ms);
      }
      const [ours, other] = [median(times.ours), median(times.theirs)];
      const size = `${tokens} × ${experts}, ${topK}, ${width}, ${hidden}`;
      rows.push([task, size, variant, ours, other, other / ours, min(times.theirs) / min(times.ours)]);
    }
    peer.stop();
  }
} finally {
  rmSync(folder, { recursive: true });
}
const header = [
  "task",
  "tokens × experts, K,\nwidth, hidden",
  "PyTorch",
  "ours\nms",
  "PyTorch\nms",
  "ratio",
  "of the\nleast",
];
process.stdout.write(
  `A training step, one thread, processor time; medians of ${rounds} rounds\n` +
    `${cpus()[0].model}, Node ${process.version}, ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}\n${formatTable(header, rows)}\n`,
);

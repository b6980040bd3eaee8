import { describe, expect, it, vi } from "vitest";
import { loadKernels } from "../../../../src/core/kernels/index.ts";
import type { Kernels } from "../../../../src/core/kernels/kernels.ts";
import { createRandom } from "../../../../src/core/random.ts";
import { findRouterKind } from "../../../../src/core/routers/index.ts";
import type { StreamState } from "../../../../src/core/streams/stream.ts";
import { trainingKind } from "../../../../src/core/streams/training.ts";
import { loadTensors } from "../../../../src/node/tensors.ts";
import { projectPath } from "../../../support/program.ts";
import { openStream } from "../stream-context.ts";

const shape = { steps: 1000, tokens: 96, experts: 6, topK: 2, capacityFactor: 1 };
const text = { task: "text", path: projectPath("scenarios/texts/alice.txt"), context: 3, embedding: 5 };
const tasks: [string, Record<string, unknown>][] = [
  ["clusters", { width: 13, hidden: 10, clusters: 5 }],
  ["text", { ...text, width: 13, hidden: 10 }],
];

/** Trains with a router on one backend. */
async function open(kernels: Kernels, options: Record<string, unknown>, router: [string, object] = ["topk", {}]) {
  const random = createRandom("model");
  const stream = await openStream(trainingKind, options, { shape, kernels, random, folder: "." });
  const kind = findRouterKind(router[0])!;
  const routed = kind.create(
    { shape, scores: "softmax", kernels, trained: true, random: random.derive("router") },
    kind.options.parse(router[1]),
  );
  return {
    stream,
    async step() {
      const batch = (await stream.next())!;
      const { assignment } = routed.route(batch);
      const expert = Array.from(assignment.expert);
      const trained = stream.learn!(assignment, (gate, logits) => routed.backward(batch, gate, logits));
      return { expert, ...trained };
    },
  };
}

/** Largest difference over the largest size of `expected`. */
function difference(actual: Float32Array, expected: Float32Array): number {
  let [most, largest] = [0, 0];
  for (const [i, value] of expected.entries()) {
    most = Math.max(most, Math.abs(actual[i] - value));
    largest = Math.max(largest, Math.abs(value));
  }
  return largest === 0 ? most : most / largest;
}

describe.each(tasks)("the model of task %s", (_, options) => {
  it("has the gradient of every parameter as TensorFlow.js differentiates it", async () => {
    const backends = ["tfjs", "wasm", "reference"] as const;
    let start: StreamState | null = null;
    const results: Record<string, Float32Array>[] = [];
    for (const backend of backends) {
      const { stream, step } = await open(await loadKernels(backend), options);
      // The reference draws normals that differ in the last bit.
      start ??= stream.state!();
      stream.restore!(start);
      await step();
      results.push(stream.state!().arrays);
    }
    const [theirs, ...ours] = results;
    const kinds = new Map<string, number>();
    for (const after of ours) {
      const names = Object.keys(after);
      expect(names).toEqual(Object.keys(theirs));
      for (const name of names.filter((name) => name.endsWith("/first moment"))) {
        // One step leaves a tenth of the gradient.
        const error = difference(after[name], theirs[name]);
        const kind = name.replace(/^expert \d+/, "expert").replace("/first moment", "");
        kinds.set(kind, Math.max(kinds.get(kind) ?? 0, error));
        // Float32 sums of up to 96 pairs of products of 13 terms; they round in another order.
        expect(error, name).toBeLessThan(3e-6);
      }
    }
    // `GRADIENTS=1 npx vitest run …` prints it: the table of docs/training-gradients.md.
    if (process.env.GRADIENTS) process.stdout.write(`${JSON.stringify(Object.fromEntries(kinds))}\n`);
    expect(kinds.size).toBe(options.task === "text" ? 10 : 5);
  });

  it("learns as on TensorFlow.js: the losses of the first 40 steps agree to 2e-5", async () => {
    const [wasm, tfjs] = [
      await open(await loadKernels("wasm"), options),
      await open(await loadKernels("tfjs"), options),
    ];
    let [most, moved] = [0, 0];
    for (let step = 0; step < 40; step++) {
      const [ours, theirs] = [await wasm.step(), await tfjs.step()];
      most = Math.max(most, Math.abs(ours.taskLoss - theirs.taskLoss) / theirs.taskLoss);
      expect(Math.abs(ours.expertSimilarity - theirs.expertSimilarity)).toBeLessThan(1e-3);
      moved += ours.expert.filter((expert, slot) => expert !== theirs.expert[slot]).length;
    }
    if (process.env.GRADIENTS) process.stdout.write(`${JSON.stringify({ most, moved })}\n`);
    // Rounding makes them drift apart; a near-tie then gives a token another expert.
    expect(most).toBeLessThan(2e-5);
    expect(moved).toBeLessThan(0.002 * 40 * shape.tokens * shape.topK);
  });

  it("constructs and copies no array in 200 steps", async () => {
    const kernels = await loadKernels("wasm");
    let constructed = 0;
    const count = <T extends object>(type: T) =>
      new Proxy(type, {
        construct(target, parameters, newTarget) {
          constructed++;
          return Reflect.construct(target as unknown as NewableFunction, parameters, newTarget);
        },
      });
    const types = { Float32Array, Float64Array, Int32Array, Uint32Array, Uint8Array, ArrayBuffer };
    for (const [name, type] of Object.entries(types)) vi.stubGlobal(name, count(type));
    const slice = vi.spyOn(Object.getPrototypeOf(Float32Array.prototype), "slice");
    try {
      const { stream, step } = await open(kernels, options);
      expect(constructed).toBeGreaterThan(0);
      for (let warm = 0; warm < 20; warm++) await step();
      constructed = 0;
      slice.mockClear();
      for (let steps = 0; steps < 200; steps++) await step();
      expect(constructed).toBe(0);
      expect(slice).not.toHaveBeenCalled();
      await stream.close();
    } finally {
      slice.mockRestore();
      vi.unstubAllGlobals();
    }
  });
});

describe.each([
  ["expert-choice", {}],
  ["expert-threshold", {}],
  ["ssr", { select: { mode: "every", n: 2 }, gradient: "plan" }],
  ["ssr", { select: { mode: "every", n: 2 }, gradient: "detached" }],
  ["aux-loss", { coefficient: 0.1 }],
] as [string, object][])("with router %s %o", (kind, options) => {
  it("learns as on TensorFlow.js, however many experts a token has", async () => {
    const model = { ...tasks[1][1] };
    const [wasm, tfjs] = [
      await open(await loadKernels("wasm"), model, [kind, options]),
      await open(await loadKernels("tfjs"), model, [kind, options]),
    ];
    for (let step = 0; step < 6; step++) {
      const [ours, theirs] = [await wasm.step(), await tfjs.step()];
      expect(Math.abs(ours.taskLoss - theirs.taskLoss)).toBeLessThan(1e-4 * theirs.taskLoss);
      expect(Math.abs(ours.gateGradientNorm - theirs.gateGradientNorm)).toBeLessThan(
        1e-3 * theirs.gateGradientNorm + 1e-9,
      );
    }
  });
});

describe("on TensorFlow.js", () => {
  it("leaves no tensors behind, neither a step nor the stream", async () => {
    const tf = await loadTensors("wasm");
    const kernels = await loadKernels("tfjs");
    const before = tf.memory().numTensors;
    const { stream, step } = await open(kernels, { ...tasks[1][1], evaluate: { every: 1, tokens: 40 } });
    const evaluate = () =>
      stream.evaluate!(() => {
        const half = { slots: 2, expert: new Int32Array(80).fill(0), gate: new Float32Array(80).fill(0.5) };
        return { ...half, load: new Int32Array(6) };
      });
    await step();
    evaluate();
    const during = tf.memory().numTensors;
    await step();
    evaluate();
    stream.restore!(stream.state!());
    expect(tf.memory().numTensors).toBe(during);
    await stream.close();
    expect(tf.memory().numTensors).toBe(before);
  });

  it("says so when there is no memory for a step, where TensorFlow.js says that it aborts", async () => {
    const { stream } = await open(await loadKernels("tfjs"), tasks[0][1]);
    const { tokens } = (await stream.next())!;
    const abort = () => {
      throw new WebAssembly.RuntimeError("Aborted()");
    };
    const gate = new Float32Array(tokens).fill(1);
    const assignment = { slots: 1, expert: new Int32Array(tokens), gate, load: new Int32Array(6) };
    expect(() => stream.learn!(assignment, abort)).toThrow(
      /^stream: a training step needs more memory than TensorFlow\.js has; lower tokens/,
    );
  });
});

it("says what to lower when the kernels have no memory for the pairs of a step", async () => {
  const wasm = await loadKernels("wasm");
  let isFull = false;
  const kernels: Kernels = {
    ...wasm,
    allocateFloat32(length) {
      if (isFull) throw new RangeError("The kernels' memory is limited to 4 GiB.");
      return wasm.allocateFloat32(length);
    },
  };
  const { step } = await open(kernels, tasks[0][1]);
  isFull = true;
  await expect(step()).rejects.toThrow(
    /^stream: a training step of 192 \(token, expert\) pairs needs more memory than the kernels have.*lower tokens, topK/,
  );
});

it("uses no more memory the longer it trains", async () => {
  const kernels = await loadKernels("wasm");
  for (const [, options] of tasks) {
    const { step } = await open(kernels, options);
    for (let count = 0; count < 3; count++) await step();
    const before = kernels.allocateFloat32(1).byteOffset;
    for (let count = 0; count < 20; count++) await step();
    // A random source for a step's data has no array of its own either.
    expect(kernels.allocateFloat32(1).byteOffset - before).toBe(16);
  }
});

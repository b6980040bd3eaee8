import type { Rank, ShapeMap, Variable } from "@tensorflow/tfjs-core";
import { describe, expect, it } from "vitest";
import { createReferenceKernels } from "../../../../src/core/kernels/reference.ts";
import { createRandom } from "../../../../src/core/random.ts";
import type { TaskData } from "../../../../src/core/streams/training/task.ts";
import { createTextTask } from "../../../../src/core/streams/training/text-task.ts";
import { loadTensors } from "../../../../src/node/tensors.ts";

const tokens = 200;

/** The task on a text, with parameters that are given by name; the others are 0. */
async function open(
  ids: readonly number[],
  vocabulary: number,
  context: number,
  given: Readonly<Record<string, number[][]>>,
  data: TaskData | null = null,
) {
  const tf = await loadTensors("cpu");
  const shapes = new Map<string, readonly number[]>();
  function createParameter<R extends Rank>(name: string, shape: ShapeMap[R]): Variable<R> {
    shapes.set(name, shape);
    return tf.variable(given[name] === undefined ? tf.zeros<R>(shape) : tf.tensor<R>(given[name], shape));
  }
  const width = 4;
  const random = createRandom(1);
  const task = createTextTask(
    { tf, kernels: createReferenceKernels(), random, createParameter, width },
    { ids: Uint32Array.from(ids), distinct: new Set(ids).size },
    { context, embedding: 4, vocabulary, holdsBack: data !== null },
  ).createBatch(tokens, data ?? "training");
  task.draw(random.derive("step 0"), 0);
  const loss = (output = tf.zeros<Rank.R2>([tokens, width])) => task.loss(task.tokens(), output).dataSync()[0];
  return { tf, task, shapes, loss };
}

const one = (size: number, column: (row: number) => number, value: number) =>
  Array.from({ length: size }, (_, row) => Array.from({ length: 4 }, (_, c) => (c === column(row) ? value : 0)));
const cycle = Array.from({ length: 41 }, (_, place) => place % 4);

it("predicts the token after its context: in a cycle of four, the next in turn", async () => {
  const right = {
    embedding: one(4, (row) => row, 1),
    into: one(4, (row) => (row + 1) % 4, 1),
    "out of": one(4, (row) => row, 40),
  };
  expect((await open(cycle, 256, 1, right)).loss()).toBeLessThan(1e-6);
  // One token further on it would be wrong by 40.
  const late = { ...right, into: one(4, (row) => (row + 2) % 4, 1) };
  expect((await open(cycle, 256, 1, late)).loss()).toBeCloseTo(40, 4);
  // Of a context of two the last token alone tells.
  const last = { ...right, into: [...one(4, () => 0, 0), ...one(4, (row) => (row + 1) % 4, 1)] };
  expect((await open(cycle, 256, 2, last)).loss()).toBeLessThan(1e-6);
});

it("charges ln V nats for knowing nothing, and adds what the layer says to what entered it", async () => {
  const { tf, loss } = await open(cycle, 256, 1, { "out of": one(4, (row) => row, 1) });
  expect(loss()).toBeCloseTo(Math.log(4), 5);
  // Logits (x, 0, 0, 0) for all: a quarter of the tokens have the first one next.
  const { task } = await open(cycle, 256, 1, {
    "out of": one(4, (row) => row, 1),
    embedding: one(4, () => 0, 1),
    into: one(4, () => 0, 1),
  });
  const output = tf.tensor2d(one(tokens, () => 0, 2));
  const logSum = Math.log(Math.exp(3) + 3);
  // Standard error of the share of a token among 200: 0.03, times the logit 3.
  expect(Math.abs(task.loss(task.tokens(), output).dataSync()[0] - (logSum - 3 / 4))).toBeLessThan(5 * 0.03 * 3);
});

it("draws all places of the text alike, the last one too", async () => {
  // The first token is always said to be next, by 40: the loss is 40 times the share of the other one, which is last.
  const { loss } = await open([0, 0, 1], 256, 1, {
    embedding: one(2, () => 0, 1),
    into: one(4, () => 0, 1),
    "out of": [[40, 0], ...Array(3).fill([0, 0])],
  });
  // Five standard errors of the share of one place of two among 200 tokens.
  expect(Math.abs(loss() / 40 - 1 / 2)).toBeLessThan(5 * Math.sqrt(1 / 4 / tokens));
});

it("takes the rarer tokens of a text for one", async () => {
  const { shapes, loss } = await open(cycle, 2, 3, { embedding: one(2, (row) => row, 1) });
  expect(shapes.get("embedding")).toEqual([2, 4]);
  expect(shapes.get("out of")).toEqual([4, 2]);
  expect(loss()).toBeCloseTo(Math.log(2), 5);
});

it("refuses a text that is no longer than the context, or has but one token", async () => {
  await expect(open([0], 256, 3, {})).rejects.toThrow(/has 1 token; a context of 3/);
  await expect(open(new Array(20).fill(0), 256, 3, {})).rejects.toThrow(/all tokens of the text are the same/);
  await expect(open([0, 1, 2], 256, 3, {})).rejects.toThrow(/3 tokens; a context of 3 needs more/);
  expect((await open([0, 1, 2, 3], 256, 3, {})).loss()).toBeCloseTo(Math.log(4), 5);
});

describe("a text with a part held back", () => {
  // Nine tenths of zeros, then ones: what follows a token tells which part it comes from.
  const ids = Array.from({ length: 200 }, (_, place) => (place < 180 ? 0 : 1));
  /** Says with a logit of 40 that the token `said` is next, whatever the context. */
  const saying = (said: number) => ({
    embedding: one(2, () => 0, 1),
    into: one(4, () => 0, 1),
    "out of": Array.from({ length: 4 }, () => [said === 0 ? 40 : 0, said === 1 ? 40 : 0]),
  });
  const lossOf = async (said: number, data: TaskData | null, context = 1) =>
    (await open(ids, 256, context, { ...saying(said), into: one(4 * context, () => 0, 1 / context) }, data)).loss();

  it("trains on the first nine tenths alone and evaluates on the last alone, contexts included", async () => {
    expect(await lossOf(0, "training")).toBeLessThan(1e-6);
    expect(await lossOf(1, "evaluation")).toBeLessThan(1e-6);
    // Without a part held back, about a tenth of the places are in the ones.
    const whole = await lossOf(0, null);
    expect(whole).toBeGreaterThan(0.5);
    expect(whole).toBeLessThan(40 * 0.25);
  });

  it("needs a last tenth that is longer than the context", async () => {
    await expect(open(ids, 256, 20, {}, "training")).rejects.toThrow(
      "stream.path: the last tenth of the text has 20 tokens; a context of 20 needs more",
    );
    expect((await open(ids, 256, 19, {}, "training")).loss()).toBeGreaterThan(0);
  });
});

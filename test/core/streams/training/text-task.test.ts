import { describe, expect, it } from "vitest";
import { createReferenceKernels } from "../../../../src/core/kernels/reference.ts";
import { createRandom } from "../../../../src/core/random.ts";
import { createKernelModel } from "../../../../src/core/streams/training/kernel-model.ts";
import { createModelParameters } from "../../../../src/core/streams/training/model.ts";
import { createAdam, createParameters } from "../../../../src/core/streams/training/parameters.ts";
import type { TaskData } from "../../../../src/core/streams/training/task.ts";
import { createTextTask } from "../../../../src/core/streams/training/text-task.ts";

const tokens = 200;

/**
 * A model of the task on a text, with a single expert that adds `added` to every token vector. Parameters are given by name;
 * the others are 0.
 */
function open(
  ids: readonly number[],
  vocabulary: number,
  context: number,
  given: Readonly<Record<string, number[][]>>,
  data: TaskData | null = null,
  added: readonly number[] = [0, 0, 0, 0],
) {
  const width = 4;
  const kernels = createReferenceKernels();
  const random = createRandom(1);
  const text = { ids: Uint32Array.from(ids), distinct: new Set(ids).size };
  const task = createTextTask(kernels, text, { context, vocabulary, holdsBack: data !== null });
  const store = createParameters(kernels, random);
  const shape = { width, hidden: 3, experts: 1 };
  const textShape = { vocabulary: task.vocabulary, context, embedding: 4 };
  const model = createKernelModel(
    kernels,
    shape,
    createModelParameters(store, shape, textShape),
    createAdam(kernels, 0.1),
  );
  const values: Readonly<Record<string, readonly number[]>> = { ...given, "expert 0/out of offset": added } as never;
  const shapes = new Map<string, readonly number[]>();
  for (const { parameters } of store.blocks) {
    for (const { name, shape, values: own } of parameters) {
      shapes.set(name, shape);
      own.fill(0);
      own.set(values[name]?.flat() ?? []);
    }
  }
  const batch = task.createBatch(tokens, data ?? "training");
  batch.draw(random.derive("step 0"), 0);
  const opened = model.open(batch);
  const loss = () => {
    opened.logits();
    const expert = new Int32Array(tokens);
    return opened.loss({ slots: 1, expert, gate: new Float32Array(tokens).fill(1), load: Int32Array.of(tokens) });
  };
  return { shapes, loss };
}

const one = (size: number, column: (row: number) => number, value: number) =>
  Array.from({ length: size }, (_, row) => Array.from({ length: 4 }, (_, c) => (c === column(row) ? value : 0)));
const cycle = Array.from({ length: 41 }, (_, place) => place % 4);

it("predicts the token after its context: in a cycle of four, the next in turn", () => {
  const right = {
    embedding: one(4, (row) => row, 1),
    into: one(4, (row) => (row + 1) % 4, 1),
    "out of": one(4, (row) => row, 40),
  };
  expect(open(cycle, 256, 1, right).loss()).toBeLessThan(1e-6);
  // One token further on it would be wrong by 40.
  const late = { ...right, into: one(4, (row) => (row + 2) % 4, 1) };
  expect(open(cycle, 256, 1, late).loss()).toBeCloseTo(40, 4);
  // Of a context of two the last token alone tells.
  const last = { ...right, into: [...one(4, () => 0, 0), ...one(4, (row) => (row + 1) % 4, 1)] };
  expect(open(cycle, 256, 2, last).loss()).toBeLessThan(1e-6);
});

it("charges ln V nats for knowing nothing, and adds what the layer says to what entered it", () => {
  const { loss } = open(cycle, 256, 1, { "out of": one(4, (row) => row, 1) });
  expect(loss()).toBeCloseTo(Math.log(4), 5);
  // Logits (3, 0, 0, 0) for all, two of them from the experts: a quarter of the tokens have the first one next.
  const ends = {
    "out of": one(4, (row) => row, 1),
    embedding: one(4, () => 0, 1),
    into: one(4, () => 0, 1),
  };
  const logSum = Math.log(Math.exp(3) + 3);
  // Standard error of the share of a token among 200: 0.03, times the logit 3.
  const added = open(cycle, 256, 1, ends, null, [2, 0, 0, 0]).loss();
  expect(Math.abs(added - (logSum - 3 / 4))).toBeLessThan(5 * 0.03 * 3);
});

it("draws all places of the text alike, the last one too", () => {
  // The first token is always said to be next, by 40: the loss is 40 times the share of the other one, which is last.
  const { loss } = open([0, 0, 1], 256, 1, {
    embedding: one(2, () => 0, 1),
    into: one(4, () => 0, 1),
    "out of": [[40, 0], ...Array(3).fill([0, 0])],
  });
  // Five standard errors of the share of one place of two among 200 tokens.
  expect(Math.abs(loss() / 40 - 1 / 2)).toBeLessThan(5 * Math.sqrt(1 / 4 / tokens));
});

it("takes the rarer tokens of a text for one", () => {
  const { shapes, loss } = open(cycle, 2, 3, { embedding: one(2, (row) => row, 1) });
  expect(shapes.get("embedding")).toEqual([2, 4]);
  expect(shapes.get("out of")).toEqual([4, 2]);
  expect(loss()).toBeCloseTo(Math.log(2), 5);
});

it("refuses a text that is no longer than the context, or has but one token", () => {
  expect(() => open([0], 256, 3, {})).toThrow(/has 1 token; a context of 3/);
  expect(() => open(new Array(20).fill(0), 256, 3, {})).toThrow(/all tokens of the text are the same/);
  expect(() => open([0, 1, 2], 256, 3, {})).toThrow(/3 tokens; a context of 3 needs more/);
  expect(open([0, 1, 2, 3], 256, 3, {}).loss()).toBeCloseTo(Math.log(4), 5);
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
  const lossOf = (said: number, data: TaskData | null, context = 1) =>
    open(ids, 256, context, { ...saying(said), into: one(4 * context, () => 0, 1 / context) }, data).loss();

  it("trains on the first nine tenths alone and evaluates on the last alone, contexts included", () => {
    expect(lossOf(0, "training")).toBeLessThan(1e-6);
    expect(lossOf(1, "evaluation")).toBeLessThan(1e-6);
    // Without a part held back, about a tenth of the places are in the ones.
    const whole = lossOf(0, null);
    expect(whole).toBeGreaterThan(0.5);
    expect(whole).toBeLessThan(40 * 0.25);
  });

  it("needs a last tenth that is longer than the context", () => {
    expect(() => open(ids, 256, 20, {}, "training")).toThrow(
      "stream.path: the last tenth of the text has 20 tokens; a context of 20 needs more",
    );
    expect(open(ids, 256, 19, {}, "training").loss()).toBeGreaterThan(0);
  });
});

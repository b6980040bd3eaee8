import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { Assignment } from "../../../../src/core/assignment.ts";
import type { Stream } from "../../../../src/core/streams/stream.ts";
import { trainingKind } from "../../../../src/core/streams/training.ts";
import type { TokenBatch } from "../../../../src/core/token-batch.ts";
import { projectPath, temporaryFolder } from "../../../support/program.ts";
import { openStream, testContext } from "../stream-context.ts";

const shape = { steps: 50, tokens: 12, experts: 4 };
const small = { width: 6, hidden: 5, clusters: 3, learningRate: 0.01 };
const text = { task: "text", path: projectPath("scenarios/texts/alice.txt"), context: 3, embedding: 2, ...small };

function open(options: Record<string, unknown> = small, sizes = shape, seed = 1): Promise<Stream> {
  return openStream(trainingKind, options, testContext(sizes, seed));
}

/** Two experts a token by its number; token 0 has one, and none has expert 3. */
function someAssignment(tokens: number): Pick<Assignment, "slots" | "expert" | "load"> {
  const expert = Int32Array.from({ length: 2 * tokens }, (_, slot) =>
    slot % 2 === 0 ? slot % 3 : (((slot - 1) % 3) + 1) % 3,
  );
  expert[1] = -1;
  return { slots: 2, expert, load: new Int32Array(4) };
}

/** Gates e^(Z/4) of each slot, which depend on one logit alone, and their gradient. */
function exponentialGates({ logits, experts }: TokenBatch, { expert, slots }: Pick<Assignment, "slots" | "expert">) {
  const gate = Float32Array.from(expert, (e, slot) =>
    e < 0 ? 0 : Math.exp(logits[Math.floor(slot / slots) * experts + e] / 4),
  );
  const backward = (gateGradient: Float32Array, logitGradient: Float32Array) => {
    for (const [slot, e] of expert.entries()) {
      if (e >= 0) logitGradient[Math.floor(slot / slots) * experts + e] += (gate[slot] / 4) * gateGradient[slot];
    }
  };
  return { gate, backward };
}

async function trainStep(stream: Stream) {
  const batch = (await stream.next())!;
  const assignment = someAssignment(batch.tokens);
  const { gate, backward } = exponentialGates(batch, assignment);
  return stream.learn!({ ...assignment, gate }, backward);
}

describe("gradients of a training step", () => {
  it.each([
    ["clusters", small],
    ["text", text],
  ])("are those of finite differences, for every parameter of task %s", async (_, options) => {
    const stream = await open(options);
    const start = stream.state!();
    const lossWith = async (name: string, index: number, change: number) => {
      const values = start.arrays[name].slice();
      values[index] += change;
      stream.restore!({ fields: start.fields, arrays: { ...start.arrays, [name]: values } });
      return (await trainStep(stream)).taskLoss;
    };
    const { gateGradientNorm } = await trainStep(stream);
    const after = stream.state!().arrays;
    let gateSquares = 0;
    for (const name of Object.keys(start.arrays).filter((name) => !name.endsWith("moment"))) {
      for (let index = 0; index < start.arrays[name].length; index++) {
        // The first moment after one step is (1 − β₁) = 0.1 of the gradient.
        const gradient = 10 * after[`${name}/first moment`][index];
        if (name === "gate") gateSquares += gradient ** 2;
        if (index % 5 !== 0) continue;
        const change = 0.002;
        const difference = (await lossWith(name, index, change)) - (await lossWith(name, index, -change));
        // Float32 losses of up to 5 give the quotient an error of up to 5e-7 / 0.004 = 1.2e-4; curvature and a relu that
        // changes sides on the way add more.
        const error = Math.abs(difference / (2 * change) - gradient);
        expect(error / Math.max(1, Math.abs(gradient)), `${name}[${index}]`).toBeLessThan(1e-3);
      }
    }
    expect(gateGradientNorm).toBeCloseTo(Math.sqrt(gateSquares), 5);
    expect(gateGradientNorm).toBeGreaterThan(0.01);
  });

  it("leave an expert without tokens alone, and all of them when no token has an expert", async () => {
    const stream = await open();
    const start = stream.state!().arrays;
    await trainStep(stream);
    expect(stream.state!().arrays["expert 3/into"]).toEqual(start["expert 3/into"]);
    expect(stream.state!().arrays["expert 1/into"]).not.toEqual(start["expert 1/into"]);

    const other = await open();
    const batch = (await other.next())!;
    const none = { slots: 2, expert: new Int32Array(24).fill(-1), gate: new Float32Array(24), load: new Int32Array(4) };
    const { taskLoss, gateGradientNorm } = other.learn!(none, () => {});
    expect(other.state!().arrays.gate).toEqual(start.gate);
    expect(gateGradientNorm).toBe(0);
    // What a layer is charged for that answers 0: the mean square of 12 · 6 targets whose variance is about 1.
    expect(taskLoss).toBeGreaterThan(0.4);
    expect(taskLoss).toBeLessThan(2);
    expect(batch.tokens).toBe(12);
  });
});

describe("a stream that trains", () => {
  it("has other data on every step, also where nothing is learnt between", async () => {
    for (const options of [small, text]) {
      const stream = await open(options);
      const [first, second] = [(await stream.next())!.logits.slice(), (await stream.next())!.logits.slice()];
      // Two equal contexts of a text give equal logits.
      const others = first.filter((logit, entry) => logit !== second[entry]);
      expect(others.length).toBeGreaterThan(first.length / 2);
    }
  });

  it("first moves every parameter by the learning rate against its gradient, as Adam does", async () => {
    const stream = await open();
    const start = stream.state!().arrays;
    await trainStep(stream);
    const after = stream.state!().arrays;
    for (const name of ["gate", "expert 0/into", "expert 1/out of offset"]) {
      for (const [index, value] of after[name].entries()) {
        const moment = after[`${name}/first moment`][index];
        // What has hardly a gradient moves less, for the ε of 1e-8; float32 rounds values of up to 2 to 1e-7.
        if (Math.abs(moment) < 1e-5) continue;
        const move = -small.learningRate * Math.sign(moment);
        expect(Math.abs(value - start[name][index] - move), `${name}[${index}]`).toBeLessThan(1e-6);
      }
    }
  });

  it("goes on from a saved state to the same numbers", async () => {
    for (const options of [small, text]) {
      const whole = await open(options);
      const first: unknown[] = [];
      for (let step = 0; step < 3; step++) first.push(await trainStep(whole));
      const saved = structuredClone(whole.state!());
      const rest: unknown[] = [];
      for (let step = 3; step < 6; step++) rest.push(await trainStep(whole));
      const resumed = await open(options);
      resumed.restore!(saved);
      for (const expected of rest) expect(await trainStep(resumed)).toEqual(expected);
      expect(resumed.state!()).toEqual(whole.state!());
      expect(new Set(first).size).toBe(3);
    }
  });

  it("is the same however many others train beside it", async () => {
    const alone = await open();
    const losses = [await trainStep(alone), await trainStep(alone)];
    const [one, other] = [await open(), await open(small, shape, 2)];
    const together = [];
    for (let step = 0; step < 2; step++) {
      together.push(await trainStep(one));
      await trainStep(other);
    }
    await other.close();
    expect(together).toEqual(losses);
    expect(await trainStep(one)).toEqual(await trainStep(alone));
  });

  it("ends after its steps", async () => {
    const stream = await open(small, { ...shape, steps: 1 });
    expect(await stream.next()).not.toBeNull();
    expect(await stream.next()).toBeNull();
  });

  it("learns: the loss of a fixed assignment falls far below that of no answer", async () => {
    const stream = await open({ ...small, clusters: 1, noise: 0, hidden: 32 }, { ...shape, tokens: 64, steps: 400 });
    const first = (await trainStep(stream)).taskLoss;
    let last = first;
    for (let step = 1; step < 400; step++) last = (await trainStep(stream)).taskLoss;
    expect(last).toBeLessThan(first / 5);
  });
});

describe("an evaluation", () => {
  const evaluated = { ...small, evaluate: { every: 2, tokens: 40 } };
  const evaluatedText = { ...text, evaluate: { every: 2, tokens: 40 } };

  /** Trains for `steps` steps and evaluates, with every token at experts 0 and 1 and gates of a half. */
  async function evaluations(stream: Stream, steps: number) {
    const seen: Float32Array[] = [];
    const results = [];
    for (let step = 0; step < steps; step++) {
      await trainStep(stream);
      results.push(
        stream.evaluate!((batch) => {
          const { tokens, experts, logits } = batch;
          expect(batch).toMatchObject({ step, tokens: 40, experts: 4 });
          seen.push(logits.slice(0, tokens * experts));
          return {
            slots: 2,
            expert: Int32Array.from({ length: 80 }, (_, slot) => slot % 2),
            gate: new Float32Array(80).fill(0.5),
            load: Int32Array.of(40, 40, 0, 0),
          };
        }),
      );
    }
    return { seen, results };
  }

  it("follows every n-th step and the last, with the loss and the load of the held-back tokens", async () => {
    for (const options of [evaluated, evaluatedText]) {
      const { results, seen } = await evaluations(await open(options, { ...shape, steps: 5 }), 5);
      expect(results.map((result) => result !== null)).toEqual([false, true, false, true, true]);
      expect(seen).toHaveLength(3);
      // Another gate each time, on the same data.
      expect(seen[0]).not.toEqual(seen[1]);
      for (const result of results) {
        if (result === null) continue;
        expect(Array.from(result.load)).toEqual([40, 40, 0, 0]);
        expect(result.loss).toBeGreaterThan(0.1);
        expect(result.loss).toBeLessThan(10);
      }
    }
  });

  it("leaves no trace in the training, of which it sees the parameters", async () => {
    const [plain, watched] = [await open(small), await open(evaluated)];
    const expected = [];
    for (let step = 0; step < 4; step++) expected.push(await trainStep(plain));
    const { results } = await evaluations(watched, 4);
    expect(watched.state!()).toEqual(plain.state!());
    expect(await trainStep(watched)).toEqual(await trainStep(plain));
    expect(results[1]!.loss).not.toBe(results[3]!.loss);
  });

  it("is of the same data for all streams of a seed, which are none of the training's and change with the seed", async () => {
    const atStart = async (options: object, seed: number, sizes = shape) => {
      const stream = await open({ ...options, evaluate: { every: 1, tokens: 40 } }, sizes, seed);
      await stream.next();
      const start = stream.state!();
      let logits = new Float32Array(0);
      stream.evaluate!((batch) => {
        logits = batch.logits.slice();
        const none = new Int32Array(80).fill(-1);
        return { slots: 2, expert: none, gate: new Float32Array(80), load: new Int32Array(4) };
      });
      expect(stream.state!()).toEqual(start);
      return logits;
    };
    for (const options of [small, text]) {
      const first = await atStart(options, 1);
      expect(await atStart(options, 1, { ...shape, tokens: 5, steps: 9 })).toEqual(first);
      expect(await atStart(options, 2)).not.toEqual(first);
    }
    // A gate before it learned anything: equal tokens would have equal logits.
    const stream = await open(small, { ...shape, tokens: 40 });
    const heldBack = new Set((await atStart(small, 1)).map((logit) => logit));
    for (let step = 0; step < 20; step++) {
      const batch = (await stream.next())!;
      expect(batch.logits.some((logit) => heldBack.has(logit))).toBe(false);
    }
  });

  it("has the loss of the task on the held-back tokens, exactly what a batch of training would have", async () => {
    // One cluster without noise and spread: every token of either is the same, with the same target.
    const same = { ...small, clusters: 1, noise: 0, spread: 0 };
    const stream = await open({ ...same, evaluate: { every: 1, tokens: 40 } });
    await stream.next();
    const gates = (tokens: number) => ({
      slots: 2,
      expert: Int32Array.from({ length: 2 * tokens }, (_, slot) => slot % 2),
      gate: Float32Array.from({ length: 2 * tokens }, (_, slot) => 0.25 + 0.5 * (slot % 2)),
      load: Int32Array.of(tokens, tokens, 0, 0),
    });
    const { loss } = stream.evaluate!(() => gates(40))!;
    const { taskLoss } = stream.learn!(gates(12), () => {});
    // Means of 40 · 6 and of 12 · 6 equal float32 numbers.
    expect(Math.abs(loss - taskLoss)).toBeLessThan(1e-6 * taskLoss);
  });

  it("says so when the loss is not finite", async () => {
    const stream = await open(evaluatedText);
    await evaluations(stream, 2);
    const { fields, arrays } = stream.state!();
    stream.restore!({ fields, arrays: { ...arrays, "expert 0/into": arrays["expert 0/into"].fill(1e38) } });
    const half = { slots: 2, expert: new Int32Array(80).fill(0), gate: new Float32Array(80).fill(0.5) };
    expect(() => stream.evaluate!(() => ({ ...half, load: new Int32Array(4) }))).toThrow(
      /training diverged: step 1 has non-finite loss on held-back data/,
    );
  });
});

describe("bad input of a training stream", () => {
  it("names a text that is missing or too short, and a shift after the last step", async () => {
    const options = trainingKind.options.parse({ task: "text" });
    expect(trainingKind.check!(options, shape)).toEqual([
      { path: ["path"], message: expect.stringContaining("needs the path of a text file") },
    ]);
    const shifted = trainingKind.options.parse({ shift: [3, 50] });
    expect(trainingKind.check!(shifted, shape)).toEqual([
      { path: ["shift", "1"], message: expect.stringMatching(/50/) },
    ]);
    const file = path.join(temporaryFolder(), "short.txt");
    writeFileSync(file, "abc");
    await expect(open({ ...text, path: file })).rejects.toThrow(/3 tokens; a context of 3 needs more/);
  });

  it("says so when training diverges", async () => {
    const stream = await open();
    const { fields, arrays } = stream.state!();
    stream.restore!({ fields, arrays: { ...arrays, "expert 0/into": arrays["expert 0/into"].fill(1e38) } });
    await expect(trainStep(stream)).rejects.toThrow(
      /training diverged: step 0 has non-finite loss; lower learningRate/,
    );
    for (const value of [1e38, Number.NaN]) {
      const other = await open();
      other.restore!({ fields, arrays: { ...arrays, gate: arrays.gate.fill(value) } });
      await expect(other.next()).rejects.toThrow(/step 0 has non-finite logits/);
    }
    const third = await open();
    const { tokens } = (await third.next())!;
    const gate = new Float32Array(2 * tokens).fill(0.5);
    const backward = (_: Float32Array, logitGradient: Float32Array) => void logitGradient.fill(1e30);
    const assignment = { ...someAssignment(tokens), gate };
    expect(() => third.learn!(assignment, backward)).toThrow(/step 0 has non-finite gradient of the gate/);
  });
});

import { expect, test } from "vitest";
import { adversarialKind } from "../../../src/core/streams/adversarial.ts";
import { generate, openStream, testContext } from "./stream-context.ts";

const shape = { steps: 4, tokens: 6, experts: 4 };

/** All batches, with `loads[n]` observed after step n. */
async function play(options: Record<string, unknown>, loads: number[][]): Promise<Float32Array[]> {
  const stream = await openStream(adversarialKind, options, testContext(shape));
  const batches: Float32Array[] = [];
  for (let batch = await stream.next(); batch !== null; batch = await stream.next()) {
    batches.push(batch.logits.slice());
    const load = loads[batch.step];
    if (load !== undefined) stream.observe!(Int32Array.from(load));
  }
  return batches;
}

test("logits rise in proportion to the loads summed so far, by the strength at the most loaded expert", async () => {
  const batches = await play({ strength: 3, noise: 0 }, [
    [1, 3, 2, 1],
    [4, 0, 0, 2],
    [0, 3, 3, 2],
  ]);
  const expected = [
    [0, 0, 0, 0],
    [0, 3, 1.5, 0],
    [3, 3 / 3, 0, 3 / 3],
    // Sums 5, 6, 5, 5.
    [0, 3, 0, 0],
  ];
  for (const [step, row] of expected.entries()) {
    for (let token = 0; token < shape.tokens; token++) {
      expect(Array.from(batches[step].subarray(token * 4, token * 4 + 4))).toEqual(row);
    }
  }
});

test("the noise does not depend on the loads", async () => {
  const noise = await play({ strength: 2 }, []);
  const pushed = await play({ strength: 2 }, [
    [9, 0, 0, 0],
    [9, 0, 0, 0],
    [9, 0, 0, 0],
  ]);
  expect(pushed[0]).toEqual(noise[0]);
  for (const step of [1, 2, 3]) {
    for (let entry = 0; entry < noise[step].length; entry++) {
      // One float32 rounding of a number below 8: at most 2^-22.
      expect(Math.abs(pushed[step][entry] - noise[step][entry] - (entry % 4 === 0 ? 2 : 0))).toBeLessThan(2 ** -21);
    }
  }
});

test("equal loads give equal batches, other loads others", async () => {
  const loads = [
    [5, 1, 0, 0],
    [2, 2, 1, 1],
    [0, 0, 6, 0],
  ];
  const batches = await play({}, loads);
  expect(await play({}, loads)).toEqual(batches);
  const others = await play({}, [loads[0], [1, 2, 1, 2], loads[2]]);
  expect(others.slice(0, 2)).toEqual(batches.slice(0, 2));
  expect(others[2]).not.toEqual(batches[2]);
});

test("balanced loads, or none observed, leave noise alone", async () => {
  const balanced = await play({}, [
    [3, 3, 3, 3],
    [2, 2, 2, 2],
    [0, 0, 0, 0],
  ]);
  expect(balanced).toEqual(await generate(adversarialKind, { strength: 0 }, shape));
  expect(balanced).toEqual(await generate(adversarialKind, {}, shape));
});

test("goes on identically in another stream that its state was restored into", async () => {
  const loads = [
    [5, 1, 0, 0],
    [2, 2, 1, 1],
    [0, 0, 6, 0],
  ];
  const batches = await play({}, loads);
  const [stopped, fresh] = await Promise.all(
    [1, 2].map((seed) => openStream(adversarialKind, {}, testContext(shape, seed))),
  );
  for (const load of loads.slice(0, 2)) {
    await stopped.next();
    stopped.observe!(Int32Array.from(load));
  }
  fresh.restore!(JSON.parse(JSON.stringify(stopped.state!())));
  expect((await fresh.next())?.logits).toEqual(batches[2]);
  fresh.observe!(Int32Array.from(loads[2]));
  expect(await fresh.next()).toMatchObject({ step: 3, logits: batches[3] });
  expect(await fresh.next()).toBeNull();
});

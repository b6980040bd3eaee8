import { expect, test } from "vitest";
import { findStreamKind } from "../../../../src/core/streams/index.ts";
import { generate, openStream, testContext } from "../stream-context.ts";

const kinds = ["clusters", "gaussian"];

test.each(kinds)("%s with repeat gives the first batch of the stream without it, again on every step", async (name) => {
  const kind = findStreamKind(name)!;
  const shape = { steps: 5, tokens: 12, experts: 6 };
  const [first, second] = await generate(kind, {}, shape);
  const repeated = await generate(kind, { repeat: true }, shape);
  expect(second).not.toEqual(first);
  expect(repeated).toEqual(new Array(5).fill(first));
});

test.each(kinds)("%s does not repeat unless told to", (name) => {
  expect(findStreamKind(name)!.options.parse({})).toMatchObject({ repeat: false });
});

test.each(["drift", "bursty", "adversarial", "zipf-text"])("%s, which is about change, has no repeat", (name) => {
  expect(findStreamKind(name)!.options.safeParse({ repeat: true }).success).toBe(false);
});

test.each([
  ["clusters", {}],
  ["drift", { mode: "random-walk" }],
  ["drift", { mode: "shift", steps: [1, 3] }],
  ["drift", { mode: "periodic", period: 3, moves: "weights" }],
  ["bursty", { burstLength: 2 }],
])("%s with %o goes past batches to the same ones that it would have come to", async (name, options) => {
  const kind = findStreamKind(name)!;
  const shape = { steps: 6, tokens: 12, experts: 6 };
  const all = await generate(kind, options, shape);
  const stream = await openStream(kind, options, testContext(shape));
  for (let step = 0; step < 6; step++) {
    if (step % 3 !== 2) {
      stream.skip!();
      continue;
    }
    const batch = await stream.next();
    expect(batch!.step).toBe(step);
    expect(batch!.logits).toEqual(all[step]);
  }
  expect(await stream.next()).toBe(null);
});

test("a stream that repeats its first batch cannot leave it out", async () => {
  const stream = await openStream(findStreamKind("clusters")!, { repeat: true }, testContext());
  expect(stream.skip).toBe(undefined);
});

import { expect, test } from "vitest";
import { findStreamKind } from "../../src/streams/index.ts";
import { generate } from "./stream-context.ts";

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

import { expect, test } from "vitest";
import { findStreamKind, streamKinds } from "../../../src/core/streams/index.ts";
import type { StreamShape } from "../../../src/core/streams/stream.ts";
import { collectLogits, generate, openStream, testContext } from "./stream-context.ts";

const synthetic = ["gaussian", "clusters", "drift", "bursty", "adversarial", "zipf-text"];

/** The largest values the options allow, where they make logits large. */
const extremes: Record<string, Record<string, unknown>[]> = {
  gaussian: [{ skew: 1000, temperature: 1000 }],
  clusters: [{ spread: 1000, scale: 1000, exponent: 10 }],
  drift: [
    { spread: 1000, scale: 1000, rate: 1000 },
    { moves: "weights", rate: 1000, exponent: 10 },
  ],
  bursty: [{ spread: 1000, scale: 1000, dominance: 1, burstLength: 1 }],
  adversarial: [{ strength: 1000, noise: 1000 }],
  "zipf-text": [{ scale: 1000, noise: 1000, exponent: 10, vocabulary: 50 }],
};

function kindOf(name: string) {
  const kind = findStreamKind(name);
  if (kind === undefined) throw new Error(`no stream ${name}`);
  return kind;
}

test("kinds are found by their name, and every name is there once", () => {
  expect(streamKinds.map((kind) => kind.kind)).toEqual(expect.arrayContaining(synthetic));
  expect(new Set(streamKinds.map((kind) => kind.kind)).size).toBe(streamKinds.length);
  expect(findStreamKind("drift")?.kind).toBe("drift");
  expect(findStreamKind("no such stream")).toBeUndefined();
});

test("only an adversary and a gate that learns see how tokens were routed", () => {
  expect(streamKinds.filter((kind) => kind.feedback).map((kind) => kind.kind)).toEqual(["adversarial", "training"]);
});

test("every kind that sees the router's load has streams with a state to go on from, which others do without", async () => {
  for (const name of synthetic) {
    const stream = await openStream(kindOf(name), {}, testContext({}));
    expect(stream.state !== undefined && stream.restore !== undefined, name).toBe(kindOf(name).feedback !== undefined);
  }
});

test.each(synthetic)("%s describes every option and refuses unknown ones", (name) => {
  const { options, summary, source } = kindOf(name);
  expect(summary).not.toBe("");
  expect(source).not.toBe("");
  for (const [field, schema] of Object.entries(options.shape)) {
    expect(schema.description, field).toBeTruthy();
  }
  expect(options.safeParse({ nonsense: 1 }).success).toBe(false);
  expect(options.safeParse({}).success).toBe(true);
});

test.each(synthetic)("%s has no objection to its defaults", (name) => {
  const kind = kindOf(name);
  expect(kind.check?.(kind.options.parse({}), { steps: 1, tokens: 1, experts: 1 }) ?? []).toEqual([]);
});

test.each(synthetic)("%s gives numbered batches in one buffer, then null for good", async (name) => {
  const stream = await openStream(kindOf(name), {}, testContext({ steps: 3, tokens: 5, experts: 7 }));
  const first = await stream.next();
  expect(first).toMatchObject({ step: 0, tokens: 5, experts: 7 });
  for (const step of [1, 2]) {
    const batch = await stream.next();
    expect(batch).toMatchObject({ step, tokens: 5, experts: 7 });
    expect(batch?.logits).toBe(first?.logits);
  }
  expect(await stream.next()).toBeNull();
  expect(await stream.next()).toBeNull();
  await stream.close();
});

test.each(synthetic)("%s gives equal bytes for equal seeds and others for another seed", async (name) => {
  const kind = kindOf(name);
  const batches = await generate(kind, {}, {}, 7);
  expect(await generate(kind, {}, {}, 7)).toEqual(batches);
  const others = await generate(kind, {}, {}, 8);
  for (const [step, logits] of batches.entries()) expect(others[step]).not.toEqual(logits);
});

test.each(synthetic)("%s begins the same however many steps follow, and never repeats a batch", async (name) => {
  const kind = kindOf(name);
  const short = await generate(kind, {}, { steps: 2 });
  const long = await generate(kind, {}, { steps: 6 });
  expect(long.slice(0, 2)).toEqual(short);
  expect(new Set(long.map((logits) => logits.join())).size).toBe(6);
});

test.each(synthetic.flatMap((name) => extremes[name].map((options) => [name, options] as const)))(
  "%s keeps every logit far below 1e30 with %o",
  async (name, options) => {
    const shape: StreamShape = { steps: 200, tokens: 8, experts: 8 };
    const kind = kindOf(name);
    const stream = await openStream(kind, options, testContext(shape));
    stream.observe?.(Int32Array.from({ length: 8 }, (_, expert) => expert));
    for (const logits of await collectLogits(stream)) {
      expect(logits.every((logit) => Math.abs(logit) < 1e20)).toBe(true);
    }
    for (const [field, value] of Object.entries(options)) {
      if (typeof value !== "number" || value < 10) continue;
      if (field === "vocabulary") continue;
      expect(kind.options.safeParse({ ...options, [field]: value * 1.01 }).success, field).toBe(false);
    }
  },
);

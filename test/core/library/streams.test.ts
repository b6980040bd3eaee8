import { expect, it } from "vitest";
import { streamKinds } from "../../../src/core/streams/index.ts";
import { InputError, type StreamInput, simulate, streams } from "../../../src/index.ts";

const sizes = { steps: 5, tokens: 16, experts: 4 };

async function all(stream: streams.TokenStream): Promise<Float32Array[]> {
  const found: Float32Array[] = [];
  for await (const { logits } of stream) found.push(logits);
  return found;
}

it("knows every kind of stream and what it takes", () => {
  expect(streams.list().map(({ kind }) => kind)).toEqual(streamKinds.map(({ kind }) => kind));
  expect(streams.find("drift")!.options).toMatchObject({ type: "object" });
  expect(streams.find("toString")).toBeUndefined();
});

it("shows the same batches on every walk, whole and in memory of their own", async () => {
  const stream = await streams.open({ kind: "bursty" }, { ...sizes, seed: 2 });
  const [first, again] = [await all(stream), await all(stream)];
  expect(first).toHaveLength(5);
  expect(again).toEqual(first);
  expect(first[1]).not.toEqual(first[0]);
  for (const { buffer } of first) {
    expect(buffer).toBeInstanceOf(ArrayBuffer);
    expect(buffer.byteLength).toBe(4 * 16 * 4);
  }
  expect(await all(await streams.open({ kind: "bursty" }, { ...sizes, seed: 3 }))).not.toEqual(first);
});

it("has the batches of a simulation of the same seed: router z, a function of the logits, is the same", async () => {
  const stream = { kind: "gaussian", popularity: "zipf" } as const;
  const { runs } = await simulate({ name: "z", seed: 9, ...sizes, stream, routers: [{ kind: "topk" }] });
  const batches = await all(await streams.open(stream, { ...sizes, seed: 9 }));
  for (const [step, logits] of batches.entries()) {
    let squares = 0;
    for (let row = 0; row < logits.length; row += 4) {
      squares += Math.log(logits.subarray(row, row + 4).reduce((sum, logit) => sum + Math.exp(logit), 0)) ** 2;
    }
    // The logarithm of float32's sum of exponentials: 1e-6 of numbers near 1.
    expect(runs[0].steps[step].routerZ).toBeCloseTo(squares / 16, 4);
  }
});

it("takes the sizes of a recorded file from it", async () => {
  const stream = await streams.open({ kind: "trace", path: "scenarios/traces/balanced.npy" });
  expect([stream.steps, stream.tokens, stream.experts]).toEqual([100, 512, 16]);
  for await (const { step, logits } of stream) {
    expect(logits).toHaveLength(512 * 16);
    if (step === 1) break;
  }
});

it.each([
  [{ kind: "clusters" }, {}, /experts: missing/],
  [{ kind: "cluster" }, sizes, /Did you mean "clusters"/],
  [{ kind: "adversarial" }, sizes, /reacts to a router's load; use simulate/],
  [{ kind: "trace", path: "nowhere.npy" }, {}, /nowhere\.npy: no such file/],
])("refuses %j with %j", async (stream, given, message) => {
  const error = await streams.open(stream as StreamInput, given).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).toMatch(message);
});

it("reads one layer of a stream of several, and asks which", async () => {
  const layered: StreamInput = { kind: "bursty", layers: 2 };
  const [first, second] = [
    await all(await streams.open(layered, { ...sizes, layer: 0 })),
    await all(await streams.open(layered, { ...sizes, layer: 1 })),
  ];
  expect(first).toEqual(await all(await streams.open({ kind: "bursty" }, sizes)));
  expect(second[0]).not.toEqual(first[0]);
  await expect(streams.open(layered, sizes)).rejects.toThrow("layer: missing; the scenario has the layers 0-1");
});

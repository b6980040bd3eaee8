import { describe, expect, it } from "vitest";
import { routerKinds } from "../../../src/core/routers/index.ts";
import { InputError, type RouterInput, routers, simulate, streams } from "../../../src/index.ts";
import { randomLogits } from "../../support/random-logits.ts";

const sizes = { tokens: 32, experts: 8, topK: 2 };
const stream = { kind: "clusters" } as const;

async function batches(steps: number): Promise<Float32Array[]> {
  const found: Float32Array[] = [];
  for await (const { logits } of await streams.open(stream, { ...sizes, steps, seed: 7 })) found.push(logits);
  return found;
}

describe("routers.list", () => {
  it("knows every kind, what it takes, and that it can be created", async () => {
    expect(routers.list().map(({ kind }) => kind)).toEqual(routerKinds.map(({ kind }) => kind));
    for (const { kind, source, options, plan, hasBias } of routers.list()) {
      expect(source).not.toBe("");
      expect(options).toMatchObject({ type: "object", additionalProperties: false });
      const router = await routers.create({ kind }, sizes);
      expect(router.bias() !== null, kind).toBe(hasBias);
      router.route(randomLogits("any", sizes.tokens, sizes.experts));
      if (plan !== null) expect(router.plan()).toHaveLength(32 * 8);
      else expect(() => router.plan()).toThrow(/has no transport plan. Routers with one: sinkhorn, ssr, scot/);
    }
    expect(routers.find("ssr")).toEqual(routers.list().find(({ kind }) => kind === "ssr"));
    expect(routers.find("constructor")).toBeUndefined();
  });
});

describe("a router for one's own logits", () => {
  it.each(routers.list().map(({ kind }) => kind))(
    "routes a stream's batches with %s as a simulation does",
    async (kind) => {
      const input = { name: "same", seed: 7, steps: 4, ...sizes, regret: { every: 0 }, stream, routers: [{ kind }] };
      const { runs } = await simulate(input);
      const router = await routers.create({ kind }, { ...sizes, seed: 7 });
      const loads = (await batches(4)).map((logits) => Array.from(router.route(logits).load));
      expect(loads).toEqual(runs[0].steps.map(({ load }) => load));
    },
  );

  it("returns copies in memory of their own, which later batches leave alone", async () => {
    const router = await routers.create({ kind: "sinkhorn" }, sizes);
    const [first, second] = await batches(2);
    const routed = router.route(first);
    const plan = router.plan();
    const text = JSON.stringify([routed, plan]);
    router.route(second);
    router.plan();
    expect(JSON.stringify([routed, plan])).toBe(text);
    for (const array of [routed.expert, routed.gate, routed.load, plan]) {
      expect(array.buffer).toBeInstanceOf(ArrayBuffer);
      expect(array.buffer.byteLength).toBe(array.byteLength);
    }
  });

  it("reads the same from any array of numbers, and from batches of any size up to its own", async () => {
    const logits = (await batches(1))[0].subarray(0, 5 * 8);
    const [typed, plain] = [
      await routers.create({ kind: "scot" }, sizes),
      await routers.create({ kind: "scot" }, sizes),
    ];
    const routed = typed.route(logits);
    expect(routed).toMatchObject({ step: 0, tokens: 5, slots: 2 });
    expect(routed.expert).toHaveLength(10);
    expect(plain.route(Array.from(logits))).toEqual(routed);
    expect(typed.route(logits).step).toBe(1);
  });

  it("gates a selected step of ssr by the plan's row over the selected experts", async () => {
    const router = await routers.create({ kind: "ssr", select: { mode: "first", steps: 1 } }, sizes);
    const [logits] = await batches(1);
    for (const isSelected of [true, false]) {
      const { expert, gate, solver } = router.route(logits);
      expect(solver !== null).toBe(isSelected);
      const plan = router.plan();
      for (let token = 0; token < sizes.tokens; token++) {
        const row = plan.subarray(token * 8, (token + 1) * 8);
        const [a, b] = [row[expert[2 * token]], row[expert[2 * token + 1]]];
        expect([a, b]).toEqual(
          Array.from(row)
            .sort((x, y) => y - x)
            .slice(0, 2),
        );
        // Both are float32: a few units in the last place.
        expect(gate[2 * token]).toBeCloseTo(a / (a + b), 6);
        expect(row.reduce((sum, mass) => sum + mass, 0)).toBeCloseTo(1, 6);
      }
    }
  });

  it("shows a bias that moves against the load", async () => {
    const router = await routers.create({ kind: "alf-lb", updateRate: 0.5 }, sizes);
    const before = router.bias()!;
    const { load } = router.route((await batches(1))[0]);
    expect(before).toEqual(new Float64Array(8));
    expect(Array.from(router.bias()!)).toEqual(Array.from(load, (pairs) => 0.5 * Math.sign(8 - pairs)));
  });

  it.each(["ssr", "alf-lb", "noisy-topk"] as const)(
    "goes on from a snapshot of %s as if it had never stopped",
    async (kind) => {
      const all = await batches(6);
      const [one, two] = [await routers.create({ kind }, sizes), await routers.create({ kind }, sizes)];
      for (const logits of all.slice(0, 3)) one.route(logits);
      two.restore(JSON.parse(JSON.stringify(one.snapshot())));
      expect(() => (kind === "ssr" ? two.plan() : two.route([]))).toThrow(InputError);
      for (const logits of all.slice(3)) expect(two.route(logits)).toEqual(one.route(logits));
    },
  );

  it.each([
    [{ step: -1, state: {} }],
    [{ step: 0, state: { bias: [1, 2] } }],
    [{ step: 0, state: { bias: "none" } }],
    [null],
  ])("refuses %j, which is no snapshot of it", async (snapshot) => {
    const router = await routers.create({ kind: "alf-lb" }, sizes);
    expect(() => router.restore(snapshot as routers.RouterSnapshot)).toThrow(InputError);
  });

  it("refuses logits that do not fit or are not finite, and is as if they had never been there", async () => {
    const [clean, tried] = [await routers.create({ kind: "ssr" }, sizes), await routers.create({ kind: "ssr" }, sizes)];
    const [logits] = await batches(1);
    const broken = Float64Array.from(logits);
    broken[3 * 8 + 5] = Number.NaN;
    expect(() => tried.route(broken)).toThrow(/token 3, expert 5: NaN is not allowed/);
    broken[3 * 8 + 5] = 1e39;
    expect(() => tried.route(broken)).toThrow(/token 3, expert 5: 1e\+39/);
    expect(() => tried.route(logits.subarray(1))).toThrow(/255 entries; expected one or more whole rows of 8/);
    expect(() => tried.route([])).toThrow(InputError);
    expect(() => tried.route(new Float32Array(33 * 8))).toThrow(/33 tokens; the router was created for at most 32/);
    expect(() => tried.plan()).toThrow(/there is no plan yet; route a batch first/);
    expect(tried.route(logits)).toEqual(clean.route(logits));
  });

  it.each([
    [{ kind: "ssrr" }, {}, /unknown kind "ssrr"\. Did you mean "ssr"/],
    [{ kind: "ssr", epsilonn: 1 }, {}, /routers\[0\]\.epsilonn: unknown key\. Did you mean "epsilon"/],
    [{ kind: "topk" }, { topK: 9 }, /topK: 9 is more than the 8 experts/],
    [{ kind: "grouped-topk", groups: 3 }, {}, /groups/],
    [{ kind: "topk" }, { tokens: 2 ** 31 }, /4 GiB/],
  ])("refuses %j with %j", async (router, other, message) => {
    const error = await routers
      .create(router as RouterInput, { ...sizes, ...other })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(message);
  });
});

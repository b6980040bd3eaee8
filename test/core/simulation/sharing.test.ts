import { describe, expect, it } from "vitest";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import { partWork, scenarioWork, shareParts } from "../../../src/core/simulation/sharing.ts";

const routers = [
  { kind: "topk" },
  { kind: "alf-lb" },
  { kind: "sinkhorn" },
  { kind: "topk", label: "by sigmoid", scores: "sigmoid" },
];

function scenarioOf(fields: object = {}) {
  const sizes = { name: "plan", steps: 100, tokens: 64, experts: 8, topK: 2, regret: { every: 5 } };
  return resolveScenario({ ...sizes, stream: { kind: "clusters" }, routers, ...fields }, "plan.yaml");
}

describe("the parts of a scenario", () => {
  it("are one for one thread, which does everything", async () => {
    const [part, ...others] = shareParts(await scenarioOf(), 1);
    expect(others).toEqual([]);
    expect(part.routers).toEqual([0, 1, 2, 3]);
    expect(part.hindsight).toEqual(["sigmoid"]);
  });

  it.each([2, 3, 8])(
    "share out among %i threads each router, optimum and bias once, the longest first",
    async (workers) => {
      const scenario = await scenarioOf();
      const [whole] = shareParts(scenario, 1);
      const parts = shareParts(scenario, workers);
      expect(parts.flatMap((part) => part.routers).toSorted()).toEqual(whole.routers);
      expect(parts.flatMap((part) => part.hindsight)).toEqual(whole.hindsight);
      const optima = parts.flatMap((part) => part.optima);
      expect(optima).toHaveLength(whole.optima.length);
      expect(optima).toEqual(expect.arrayContaining([...whole.optima]));
      const work = parts.map((part) => partWork(scenario, part));
      expect(work).toEqual(work.toSorted((a, b) => b - a));
    },
  );

  it("find the optima once for all affinities, in parts that do not depend on the number of threads", async () => {
    const [{ optima }] = shareParts(await scenarioOf(), 1);
    // 100 steps, one of every five: 20 optima, of which 8 at a time start from one another.
    expect(optima).toEqual([
      { first: 0, end: 8 },
      { first: 8, end: 16 },
      { first: 16, end: 20 },
    ]);
  });

  it("find them in few parts of whole eights however long the run is", async () => {
    const [{ optima }] = shareParts(await scenarioOf({ steps: 100_000 }), 1);
    // 20 000 optima in at most 64 parts: 313 of them are no whole eights, 320 are.
    expect(optima).toHaveLength(63);
    expect(optima[0]).toEqual({ first: 0, end: 320 });
    expect(optima.at(-1)).toEqual({ first: 62 * 320, end: 20_000 });
  });

  it("find them in one part where they need not be exact, since what is found depends on where the search began", async () => {
    const [{ optima }] = shareParts(await scenarioOf({ regret: { every: 5, gap: 1e-3 } }), 1);
    expect(optima).toEqual([{ first: 0, end: 20 }]);
  });

  it("leave the optima to base if it finds them in the measured affinities and as exactly as is asked for", async () => {
    const soughtBeside = async (base: object, fields: object = {}) => {
      const scenario = await scenarioOf({ routers: [...routers, { kind: "base", ...base }], ...fields });
      return shareParts(scenario, 2).some(({ optima }) => optima.length > 0);
    };
    expect(await soughtBeside({})).toBe(false);
    expect(await soughtBeside({ scores: "sigmoid" })).toBe(true);
    expect(await soughtBeside({ gap: 1e-3 })).toBe(true);
    const bySigmoid = { measure: { scores: "sigmoid" } };
    expect(await soughtBeside({}, bySigmoid)).toBe(true);
    expect(await soughtBeside({ scores: "sigmoid" }, bySigmoid)).toBe(false);
  });

  it("are for routers alone where no regret is asked for, and no more than end sooner", async () => {
    const parts = shareParts(await scenarioOf({ regret: { every: 0 } }), 2);
    expect(parts.map(({ optima, hindsight }) => optima.length + hindsight.length)).toEqual([0, 0]);
    // The slowest takes longer than the two quickest together.
    const many = shareParts(await scenarioOf({ regret: { every: 0 } }), 9);
    expect(many).toHaveLength(3);
    expect(many.flatMap((part) => part.routers).toSorted()).toEqual([0, 1, 2, 3]);
  });

  it("give the slowest router a part of its own, and the others one together, where that is quicker", async () => {
    const others = ["topk", "hash", "random", "round-robin"].map((kind) => ({ kind }));
    const fields = { regret: { every: 0 }, routers: [...others, { kind: "scot" }] };
    const parts = shareParts(await scenarioOf(fields), 2);
    expect(parts.map((part) => part.routers)).toEqual([[4], [0, 1, 2, 3]]);
  });

  it("are each router's own where each has a stream of its own", async () => {
    const parts = shareParts(await scenarioOf({ stream: { kind: "adversarial" } }), 2);
    expect(parts.map((part) => part.routers).toSorted()).toEqual([[0], [1], [2], [3]]);
    for (const part of parts) expect(part.optima).not.toEqual([]);
  });
});

it("reckons a scenario the longer, the more steps, tokens, routers and optima it has", async () => {
  const work = async (fields: object) => scenarioWork(await scenarioOf(fields));
  const plain = await work({});
  for (const more of [
    { steps: 200 },
    { tokens: 65 },
    { regret: { every: 4 } },
    { routers: [...routers, { kind: "scot" }] },
  ]) {
    expect(await work(more)).toBeGreaterThan(plain);
  }
});

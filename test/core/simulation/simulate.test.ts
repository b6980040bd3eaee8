import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import type { RouterChoice } from "../../../src/core/scenario/scenario.ts";
import { npyBytes } from "../../support/npy.ts";
import { temporaryFolder } from "../../support/program.ts";
import { simulateRouters } from "../../support/simulate-routers.ts";

function scenarioOf(stream: object, routers: object[]) {
  const sizes = { name: "small", seed: 5, steps: 12, tokens: 48, experts: 8, topK: 2 };
  return resolveScenario({ ...sizes, stream, routers }, "small.yaml");
}

/** What each router did, as comparable text: loads and metrics of every step. */
async function historyOf(
  stream: object,
  routers: object[],
  backend: "wasm" | "reference" = "wasm",
): Promise<Map<string, string[]>> {
  const scenario = await scenarioOf(stream, routers);
  const history = new Map<string, string[]>();
  const onStep = ({ name }: RouterChoice, record: object) => {
    history.set(name, [...(history.get(name) ?? []), JSON.stringify(record)]);
  };
  await simulateRouters(scenario, { backend, onStep });
  return history;
}

const routers = [{ kind: "noisy-topk" }, { kind: "ssr" }, { kind: "alf-lb" }, { kind: "random" }, { kind: "scot" }];

describe("a simulation", () => {
  it.each(["clusters", "gaussian", "adversarial"])(
    "gives a router the same %s run whatever routers are beside it",
    async (kind) => {
      const together = await historyOf({ kind }, routers);
      for (const router of routers) {
        const alone = await historyOf({ kind }, [router]);
        expect(alone.get(router.kind)).toEqual(together.get(router.kind));
        expect(alone.get(router.kind)).toHaveLength(12);
      }
    },
  );

  it("shows all routers the same batches: router z, which depends on the logits alone, is the same for each", async () => {
    const scenario = await scenarioOf({ kind: "bursty" }, routers);
    const seen = new Map<number, Set<number | null>>();
    await simulateRouters(scenario, {
      onStep(_, { step, metrics }) {
        seen.set(step, (seen.get(step) ?? new Set()).add(metrics.routerZ));
      },
    });
    expect(Array.from(seen.values(), (values) => values.size)).toEqual(new Array(12).fill(1));
    expect(new Set(Array.from(seen.values(), (values) => Array.from(values)[0])).size).toBe(12);
  });

  it("tells each step's regret as it goes where base finds the optimum, first of its routers or last", async () => {
    for (const kinds of [
      ["base", "topk"],
      ["topk", "base"],
    ]) {
      const scenario = await scenarioOf(
        { kind: "gaussian" },
        kinds.map((kind) => ({ kind })),
      );
      const told = new Map<string, (number | undefined)[]>(kinds.map((kind) => [kind, []]));
      const results = await simulateRouters(scenario, {
        onStep: ({ name }, { regret }) => told.get(name)!.push(regret?.regret),
      });
      for (const { router, regrets } of results) {
        expect(told.get(router.name)).toEqual(Array.from(regrets.regret));
        expect(regrets.regret).toHaveLength(12);
      }
    }
  });

  it("gives each router the same regrets whatever others there are, over a shorter last batch too", async () => {
    const file = path.join(temporaryFolder(), "logits.npy");
    const [tokens, experts] = [43, 6];
    const logits = Float32Array.from({ length: tokens * experts }, (_, i) => 2 * Math.sin(i * i));
    writeFileSync(file, npyBytes([tokens, experts], logits));
    const routers = ["sigmoid", "softmax"].map((scores) => ({ kind: "alf-lb", label: scores, scores }));
    const stream = { kind: "trace", path: file, batchTokens: 16 };
    const scenario = await resolveScenario({ name: "recorded", topK: 2, stream, routers }, "x.yaml");
    const told = new Map<string, (number | undefined)[]>(scenario.routers.map(({ name }) => [name, []]));
    const together = await simulateRouters(scenario, {
      onStep: ({ name }, { regret }) => told.get(name)!.push(regret?.regret),
    });
    expect(together[0].dualRegret!.cumulative).not.toEqual(together[1].dualRegret!.cumulative);
    for (const { router, regrets, dualRegret } of together) {
      const [alone] = await simulateRouters(scenario, { routers: [router] });
      expect(regrets.regret).toHaveLength(3);
      expect(regrets).toEqual(alone.regrets);
      expect(Array.from(regrets.regret)).toEqual(told.get(router.name));
      expect(dualRegret).toEqual(alone.dualRegret);
    }
  });

  it("shows each router an adversarial stream of its own, which its load has shaped", async () => {
    const scenario = await scenarioOf({ kind: "adversarial" }, [{ kind: "topk" }, { kind: "round-robin" }]);
    const results = await simulateRouters(scenario);
    expect(results[0].summary.maxVioGlobal).toBeGreaterThan(1);
    expect(results[1].summary.maxVioGlobal).toBe(0);
  });

  it("comes to the same metrics with the reference kernels, where no random numbers are involved", async () => {
    const stream = { kind: "trace", path: "scenarios/traces/collapse.npy" };
    const sizes = { name: "recorded", steps: 3, topK: 2, stream };
    const kinds = ["topk", "alf-lb", "sinkhorn", "expert-choice", "round-robin"];
    const scenario = await resolveScenario({ ...sizes, routers: kinds.map((kind) => ({ kind })) }, "x.yaml");
    const [wasm, reference] = await Promise.all(
      (["wasm", "reference"] as const).map((backend) => simulateRouters(scenario, { backend })),
    );
    for (const [position, { summary }] of wasm.entries()) {
      for (const [metric, value] of Object.entries(summary)) {
        const expected = [reference[position].summary[metric as keyof typeof summary]].flat();
        // Scores are float64 in both; the choice is the same, so only the last digits of the sums may differ.
        for (const [i, number] of [value].flat().entries()) {
          if (typeof number === "number") expect(number, metric).toBeCloseTo(expected[i] as number, 9);
          else expect(number, metric).toBe(expected[i]);
        }
      }
    }
  });
});

import { writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { simulate } from "../../../src/index.ts";
import { npyBytes } from "../../support/npy.ts";
import { temporaryFolder } from "../../support/program.ts";
import { randomLogits } from "../../support/random-logits.ts";

const [steps, tokens, experts] = [4, 12, 5];
const routers = [{ kind: "topk" }, { kind: "alf-lb" }, { kind: "quantile" }] as const;

function simulateLogits(isDisabled: (step: number, expert: number) => boolean) {
  const logits = randomLogits("disabled", steps * tokens, experts).map((z, i) =>
    isDisabled(Math.floor(i / (tokens * experts)), i % experts) ? Number.NEGATIVE_INFINITY : z,
  );
  const file = path.join(temporaryFolder(), "logits.npy");
  writeFileSync(file, npyBytes([steps, tokens, experts], Array.from(logits)));
  return simulate({ name: "disabled", topK: 2, stream: { kind: "trace", path: file }, routers });
}

it("leaves a batch in which every expert is disabled out of the means of a run", async () => {
  const { runs } = await simulateLogits((step) => step === 2);
  for (const { summary, steps } of runs) {
    const maxVios = steps.filter(({ step }) => step !== 2).map(({ maxVio }) => maxVio);
    expect(summary.maxVioBatchMean).toBeCloseTo(maxVios.reduce<number>((sum, maxVio) => sum + maxVio!, 0) / 3, 12);
    expect(summary.maxVioBatchMax).toBe(Math.max(...maxVios.map((maxVio) => maxVio!)));
    expect(summary.maxVioBatchP95).toBeLessThanOrEqual(summary.maxVioBatchMax!);
    expect(summary.score).toBeGreaterThan(0);
    expect(summary.maxVioBatches[2]).toBeNull();
    // All but the sum of the dual regret so far, to which it adds 0.
    const { step, tokens, load, dualRegretCumulative, ...empty } = steps[2];
    expect(Object.values(empty).filter((value) => value !== null)).toEqual([]);
    expect(dualRegretCumulative).toBe(steps[1].dualRegretCumulative);
  }
});

it("has no dual regret if every token has a disabled expert", async () => {
  const { runs } = await simulateLogits((_, expert) => expert === 3);
  for (const { summary, dualRegret } of runs) {
    expect(summary.dualRegretCumulative).toBeNull();
    expect(dualRegret).toBeNull();
  }
});

it("does not count experts that are disabled throughout as idle, dead or out of balance", async () => {
  const { runs } = await simulateLogits((_, expert) => expert === 3);
  for (const { summary, steps } of runs) {
    const loads = steps[0].load.map((_, e) => steps.reduce((sum, { load }) => sum + load[e], 0));
    const others = loads.filter((_, e) => e !== 3);
    expect(loads[3]).toBe(0);
    expect(others.every((load) => load > 0)).toBe(true);
    expect(summary.maxVioGlobal).toBeCloseTo((Math.max(...others) * 4) / (steps.length * tokens * 2) - 1, 12);
    expect(summary.deadExperts).toBe(0);
    const streaks = steps.map(({ load }) => load.filter((pairs, e) => e !== 3 && pairs === 0).length);
    expect(summary.idleStreakMax).toBe(streaks.some((idle) => idle > 0) ? summary.idleStreakMax : 0);
    expect(summary.idleStreakMax).toBeLessThan(steps.length);
  }
});

it("finds no churn in top-k, even if tokens have fewer enabled experts than slots", async () => {
  const { runs } = await simulateLogits((_, expert) => expert !== 1);
  expect(runs[0].summary.churn).toBe(0);
});

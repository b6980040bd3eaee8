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
    expect(summary.maxVioBatchMean).toBeCloseTo(maxVios.reduce((sum, maxVio) => sum + maxVio, 0) / 3, 12);
    expect(summary.maxVioBatchMax).toBe(Math.max(...maxVios));
    expect(summary.maxVioBatchP95).toBeLessThanOrEqual(summary.maxVioBatchMax);
    expect(summary.score).toBeGreaterThan(0);
  }
});

it("has no dual regret if every token has a disabled expert", async () => {
  const { runs } = await simulateLogits((_, expert) => expert === 3);
  for (const { summary, dualRegret } of runs) {
    expect(summary.dualRegretCumulative).toBeNull();
    expect(dualRegret).toBeNull();
  }
});

import type { ScoreKind } from "../../src/core/assignment.ts";
import type { AuxLossRule } from "../../src/core/metrics/aux-loss.ts";
import type { MeasureRule } from "../../src/core/metrics/step-metrics.ts";

interface MeasureSetting extends Partial<Omit<MeasureRule, "measure">> {
  readonly scores?: ScoreKind;
  readonly auxLoss?: AuxLossRule;
}

/** Returns what a scenario measures by default, with a few settings of its own. */
export function measureRule({
  scores = "softmax",
  auxLoss = { scope: "batch", sequenceTokens: 4096, globalBatches: 8 },
  ...rule
}: MeasureSetting = {}): MeasureRule {
  const defaults = { capacity: "none", dropBy: "gates", rerouteDepth: 65_536, ranks: 1 } as const;
  return { ...defaults, ...rule, measure: { scores, auxLoss } };
}

import { sum } from "d3-array";
import { expertCapacity } from "../assignment.ts";
import type { RecordedChoices, RecordedStep } from "../formats/recorded-choices.ts";
import { defaultDeadWindow } from "../metrics/idle.ts";
import { createRunSummary, type RunSummary } from "../metrics/run-summary.ts";
import { loadMetrics } from "../metrics/step-metrics.ts";
import type { StepRecord } from "../metrics/step-record.ts";

/** What a real model did in one layer. */
export interface MeasuredChoices {
  readonly summary: RunSummary;
  /** Steps with a pair: only these are measured. */
  readonly steps: number;
  /** Steps without a pair, such as unfilled places of a buffer, or batches of padding. */
  readonly emptySteps: number;
  /** Maximum tokens in a step, without padding; null if only loads were recorded. */
  readonly tokens: number | null;
}

/**
 * Measures what a real model did in one layer, step by step; null if no step has a pair, as in a layer without experts.
 * Throws `InputError` if the data is bad.
 *
 * @param ranks devices of expert parallelism, at most as many as experts
 * @param onRecord called after each step with a pair; the load of its record is overwritten by the next
 */
export async function measureChoices(
  choices: RecordedChoices,
  ranks: number,
  onRecord: (record: StepRecord) => void,
): Promise<MeasuredChoices | null> {
  const { experts, topK, hasShares } = choices;
  const rankLoad = new Float64Array(ranks);
  const maxVios: (number | null)[] = [];
  const summary = createRunSummary({ experts, ranks, deadWindow: defaultDeadWindow });
  let emptySteps = 0;
  let tokens: number | null = null;
  for (let step = await choices.next(); step !== null; step = await choices.next()) {
    if (step.load.every((count: number) => count === 0)) {
      emptySteps += 1;
      continue;
    }
    const record = recordOf(step, topK, rankLoad, hasShares);
    if (record.tokens !== null) tokens = Math.max(tokens ?? 0, record.tokens);
    summary.observe(record);
    maxVios.push(record.metrics.maxVio);
    onRecord(record);
  }
  if (maxVios.length === 0) return null;
  const measured = summary.summary(maxVios);
  return {
    // Shares do not say how many pairs there are, so that none can be over a capacity.
    summary: hasShares ? { ...measured, droppedFraction: Number.NaN } : measured,
    steps: maxVios.length,
    emptySteps,
    tokens,
  };
}

/**
 * Returns the load, idle and rank metrics of one recorded step. Without logits there is no score, churn or router z. A
 * recording of loads alone does not give T·K; the pairs counted take its place. `rankLoad` `[ranks]` is scratch.
 */
function recordOf(
  { step, tokens, load }: RecordedStep,
  topK: number | null,
  rankLoad: Float64Array,
  hasShares: boolean,
): StepRecord {
  const pairs = tokens === null || topK === null ? sum(Array.from(load)) : tokens * topK;
  const capacity = expertCapacity(pairs, { tokens: pairs, experts: load.length, topK: 1, capacityFactor: 1 });
  const metrics = loadMetrics(load, capacity, pairs, rankLoad);
  return {
    step,
    tokens,
    load,
    metrics: hasShares ? { ...metrics, droppedFraction: Number.NaN } : metrics,
    regret: null,
  };
}

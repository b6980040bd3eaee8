import { sum } from "d3-array";
import { expertCapacity } from "../assignment.ts";
import type { RecordedChoices, RecordedStep } from "../formats/recorded-choices.ts";
import { defaultDeadWindow } from "../metrics/idle.ts";
import { createRunSummary, type RunSummary } from "../metrics/run-summary.ts";
import { loadMetrics } from "../metrics/step-metrics.ts";
import type { StepRecord } from "../metrics/step-record.ts";

/**
 * Measures what a real model did, step by step, and returns its summary. Throws `InputError` if the data is bad.
 *
 * @param ranks devices of expert parallelism; divides the experts
 * @param onRecord called after each step; the load of its record is overwritten by the next
 */
export async function measureChoices(
  choices: RecordedChoices,
  ranks: number,
  onRecord: (record: StepRecord) => void,
): Promise<RunSummary> {
  const { experts, steps, topK } = choices;
  const rankLoad = new Float64Array(ranks);
  const maxVios: number[] = [];
  const summary = createRunSummary({ experts, ranks, deadWindow: defaultDeadWindow(steps) });
  for (let step = await choices.next(); step !== null; step = await choices.next()) {
    const record = recordOf(step, topK, rankLoad);
    summary.observe(record);
    maxVios.push(record.metrics.maxVio);
    onRecord(record);
  }
  return summary.summary(maxVios);
}

/**
 * Returns the load, idle and rank metrics of one recorded step. Without logits there is no score, churn or router z. A
 * recording of loads alone does not give T·K; the pairs counted take its place. `rankLoad` `[ranks]` is scratch.
 */
function recordOf({ step, tokens, load }: RecordedStep, topK: number | null, rankLoad: Float64Array): StepRecord {
  const pairs = tokens === null || topK === null ? sum(Array.from(load)) : tokens * topK;
  const capacity = expertCapacity(pairs, { tokens: pairs, experts: load.length, topK: 1, capacityFactor: 1 });
  return { step, tokens, load, metrics: loadMetrics(load, capacity, pairs, rankLoad), regret: null };
}

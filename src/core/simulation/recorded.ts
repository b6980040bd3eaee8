import { sum } from "d3-array";
import { expertCapacity } from "../assignment.ts";
import {
  type ChoiceOptions,
  choicesByLayer,
  type RecordedChoices,
  type RecordedStep,
} from "../formats/recorded-choices.ts";
import type { Recording } from "../formats/recording.ts";
import { InputError } from "../input-error.ts";
import { defaultDeadWindow } from "../metrics/idle.ts";
import { createRunSummary, type RunSummary } from "../metrics/run-summary.ts";
import { loadMetrics } from "../metrics/step-metrics.ts";
import type { StepRecord } from "../metrics/step-record.ts";

/** What a real model did in one layer, and its sizes. */
export interface MeasuredLayer {
  readonly layer: number;
  readonly sizes: {
    readonly steps: number;
    readonly tokens: number | null;
    readonly experts: number;
    readonly topK: number | null;
  };
  readonly summary: RunSummary;
}

/** What a real model did. */
export interface MeasuredLayers {
  /** By rising id; without absent layers. One for a recording without layers. */
  readonly layers: readonly MeasuredLayer[];
  /** Layers all of whose loads are 0: dense ones, in no mean. */
  readonly absentLayers: readonly number[];
  /** Most steps of any layer without a pair, in no mean. */
  readonly emptySteps: number;
}

/** The layer of a step. */
export interface LayerPlace {
  readonly layer: number;
  /** Recorded steps of the layer, and of all layers before it. */
  readonly steps: number;
  readonly stepsBefore: number;
}

/**
 * Measures what a real model did, layer by layer, step by step. Throws `InputError` if the data is bad, or holds nothing.
 *
 * @param onRecord called after each step with a pair; the load of the record is overwritten by the next
 */
export async function measureRecording(
  recording: Recording,
  { ranks, ...options }: ChoiceOptions & { readonly ranks: number },
  onRecord: (record: StepRecord, place: LayerPlace) => void,
): Promise<MeasuredLayers> {
  const { experts } = options;
  const layerOf = choicesByLayer(recording, options);
  const layers: MeasuredLayer[] = [];
  const absentLayers: number[] = [];
  let emptySteps = 0;
  let stepsBefore = 0;
  for (const layer of recording.layers) {
    const choices = layerOf(layer);
    const place = { layer, steps: choices.steps, stepsBefore };
    const found = await measureChoices(choices, ranks, (record) => onRecord(record, place)).finally(choices.close);
    stepsBefore += choices.steps;
    if (found === null) {
      absentLayers.push(layer);
      continue;
    }
    emptySteps = Math.max(emptySteps, found.emptySteps);
    const sizes = { steps: found.steps, tokens: found.tokens, experts, topK: choices.topK };
    layers.push({ layer, sizes, summary: found.summary });
  }
  if (layers.length === 0) {
    const why = {
      logits: "every token is padding, or has all its experts disabled by logits of -inf",
      selections: "every choice is -1, which is padding",
      loads: "all its loads are 0",
      balancedness: "it has no loads",
    }[recording.holds];
    throw new InputError(`${recording.name}: empty stream: ${stepsBefore === 0 ? "all its steps are skipped" : why}`);
  }
  return { layers, absentLayers, emptySteps };
}

/** What a real model did in one layer. */
interface MeasuredChoices {
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
async function measureChoices(
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

import type { TrainingMetrics } from "./training.ts";
import { addTo, emptyMean, meanOf, type WeightedMean } from "./weighted-mean.ts";

/**
 * What training came to over a run; null where nothing was trained. Means weigh steps by their tokens. The window is the
 * one of dead experts, the last `deadWindow` steps: what is taken over it tells where training ended, and not the way there.
 */
export interface TrainingSummary {
  /** Mean over the window. */
  readonly taskLoss: number | null;
  /** Mean over all steps. */
  readonly taskLossMean: number | null;
  /** Mean over all steps. */
  readonly gateGradientNormMean: number | null;
  /** Mean over the window. */
  readonly routingEntropy: number | null;
  /** Mean over the window; null where the true clusters are not known, too. */
  readonly specialisation: number | null;
  /** Mean over the window. */
  readonly expertSimilarity: number | null;
}

/** All that a {@link TrainingSummaryBuilder} remembers. Plain data. */
export interface TrainingSummaryState {
  steps: number;
  readonly taskLoss: WeightedMean;
  readonly gateGradientNorm: WeightedMean;
  /** `[window × 5]`, the last steps: {@link windowMetrics} of each and its weight, NaN for a metric that is null. */
  window: Float64Array;
}

/** Gathers steps into a {@link TrainingSummary}. Remembers the steps of the window, and of the others only means. */
export interface TrainingSummaryBuilder {
  observe(training: TrainingMetrics, tokens: number): void;
  summary(): TrainingSummary;
}

/** The metrics of which the mean over the window is taken. */
const windowMetrics = ["taskLoss", "routingEntropy", "specialisation", "expertSimilarity"] as const;
const rowLength = windowMetrics.length + 1;

/** That of a builder before its first step. */
export function emptyTrainingState(): TrainingSummaryState {
  return { steps: 0, taskLoss: emptyMean(), gateGradientNorm: emptyMean(), window: new Float64Array(0) };
}

/**
 * @param window counts steps, back from the last
 * @param state of another with the same window, to resume from; changes with every step
 */
export function createTrainingSummary(
  window: number,
  state: TrainingSummaryState = emptyTrainingState(),
): TrainingSummaryBuilder {
  function windowMean(metric: (typeof windowMetrics)[number]): number | null {
    const mean = emptyMean();
    const column = windowMetrics.indexOf(metric);
    for (let step = Math.max(0, state.steps - window); step < state.steps; step++) {
      const row = (step % window) * rowLength;
      const value = state.window[row + column];
      if (!Number.isNaN(value)) addTo(mean, value, state.window[row + rowLength - 1]);
    }
    return meanOf(mean);
  }

  return {
    observe(training, tokens) {
      // Runs that do not train need no room.
      if (state.steps === 0) state.window = new Float64Array(window * rowLength);
      const row = (state.steps % window) * rowLength;
      for (const [column, metric] of windowMetrics.entries()) {
        state.window[row + column] = training[metric] ?? Number.NaN;
      }
      state.window[row + rowLength - 1] = tokens;
      addTo(state.taskLoss, training.taskLoss, tokens);
      addTo(state.gateGradientNorm, training.gateGradientNorm, tokens);
      state.steps += 1;
    },
    summary: () => ({
      taskLoss: windowMean("taskLoss"),
      taskLossMean: meanOf(state.taskLoss),
      gateGradientNormMean: meanOf(state.gateGradientNorm),
      routingEntropy: windowMean("routingEntropy"),
      specialisation: windowMean("specialisation"),
      expertSimilarity: windowMean("expertSimilarity"),
    }),
  };
}

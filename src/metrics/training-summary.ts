import type { TrainingMetrics } from "./training.ts";
import { addTo, emptyMean, meanOf } from "./weighted-mean.ts";

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

/** A step of training and how much it counts. Plain data. */
export interface TrainedStep {
  readonly training: TrainingMetrics;
  readonly tokens: number;
}

/** Gathers steps into a {@link TrainingSummary}. */
export interface TrainingSummaryBuilder {
  observe(training: TrainingMetrics, tokens: number): void;
  summary(): TrainingSummary;
}

/** `window` counts steps, back from the last. `steps` are those gathered already, and grow. */
export function createTrainingSummary(window: number, steps: TrainedStep[] = []): TrainingSummaryBuilder {
  function meanFrom(first: number, metric: keyof TrainingMetrics): number | null {
    const mean = emptyMean();
    for (const { training, tokens } of steps.slice(first)) {
      const value = training[metric];
      if (value !== null) addTo(mean, value, tokens);
    }
    return meanOf(mean);
  }

  return {
    observe(training, tokens) {
      steps.push({ training, tokens });
    },
    summary() {
      const windowStart = Math.max(0, steps.length - window);
      return {
        taskLoss: meanFrom(windowStart, "taskLoss"),
        taskLossMean: meanFrom(0, "taskLoss"),
        gateGradientNormMean: meanFrom(0, "gateGradientNorm"),
        routingEntropy: meanFrom(windowStart, "routingEntropy"),
        specialisation: meanFrom(windowStart, "specialisation"),
        expertSimilarity: meanFrom(windowStart, "expertSimilarity"),
      };
    },
  };
}

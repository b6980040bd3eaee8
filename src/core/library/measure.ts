import { z } from "zod";
import { mostExperts } from "../assignment.ts";
import { openLoads, openSelections } from "../formats/recorded-choices.ts";
import { InputError } from "../input-error.ts";
import type { RunSummary } from "../metrics/run-summary.ts";
import { measureChoices } from "../simulation/recorded.ts";
import { checked } from "./checked.ts";
import { type StepResult, stepResultOf } from "./step-result.ts";

/** A recording of what a real model did: either `selections` or `loads`. */
export interface RecordedInput {
  /** File of integers `[tokens × topK]` or `[steps × tokens × topK]`, the experts that each token went to, −1 = none. */
  readonly selections?: string | undefined;
  /** File of counts `[steps × experts]`. */
  readonly loads?: string | undefined;
  /** Number of experts of the model. */
  readonly experts: number;
  /** Tokens per step, for selections `[tokens × topK]`; default: the whole file. */
  readonly batchTokens?: number | undefined;
  /**
   * File that marks padding, for selections: one boolean, 0 or 1 per token, 1 for padding. Tokens that are −1 in every slot
   * are padding without it.
   */
  readonly paddingMask?: string | undefined;
  /** Devices of expert parallelism, at most `experts`; default 1. */
  readonly ranks?: number | undefined;
}

/** Metrics of a recording. Score, regret and churn, which need logits, are null. */
export interface Measurement {
  /** For the whole recording. */
  readonly summary: RunSummary;
  /** One row per recorded step with a load; steps of zeros, or of padding alone, are left out. */
  readonly steps: readonly StepResult[];
}

const recordedInput = z
  .strictObject({
    selections: z.string().min(1).optional(),
    loads: z.string().min(1).optional(),
    experts: z.int().positive().max(mostExperts),
    batchTokens: z.int().positive().optional(),
    paddingMask: z.string().min(1).optional(),
    ranks: z.int().positive().default(1),
  })
  .refine(({ experts, ranks }) => ranks <= experts, { path: ["ranks"], message: "it is more than the experts" });

/**
 * Returns the load, idle and rank metrics of what a real model did, as `moesim measure` does, from a file of any of the
 * formats that `moesim measure` reads, with one layer. Throws `InputError` if the file or its data is wrong.
 */
export async function measure(recorded: RecordedInput): Promise<Measurement> {
  const { selections, loads, experts, batchTokens, paddingMask, ranks } = checked("measure", recordedInput, recorded);
  if ((selections === undefined) === (loads === undefined)) {
    throw new InputError("measure: give one file, either as selections or as loads");
  }
  if (loads !== undefined && batchTokens !== undefined) {
    throw new InputError("measure: batchTokens: loads are already in steps; use it only with selections");
  }
  if (loads !== undefined && paddingMask !== undefined) {
    throw new InputError("measure: paddingMask: loads have no tokens; use it only with selections");
  }
  const choices = await (selections === undefined
    ? openLoads(loads!, experts)
    : openSelections(selections, experts, batchTokens, paddingMask));
  const steps: StepResult[] = [];
  try {
    const measured = await measureChoices(choices, ranks, (record) => steps.push(stepResultOf(record)));
    if (measured === null) throw new InputError(`${choices.file}: empty stream: no step has a load`);
    return { summary: measured.summary, steps };
  } finally {
    await choices.close();
  }
}

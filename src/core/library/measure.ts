import { z } from "zod";
import { mostExperts } from "../assignment.ts";
import { leastExperts } from "../formats/recorded-choices.ts";
import { openRecording, type Recording, type RecordingOptions } from "../formats/recording.ts";
import { InputError } from "../input-error.ts";
import type { RunSummary } from "../metrics/run-summary.ts";
import { meanOfLayers } from "../results/layers.ts";
import { measureRecording } from "../simulation/recorded.ts";
import { counted } from "../words.ts";
import { checked } from "./checked.ts";
import { recordingFields } from "./recording-input.ts";
import { type StepResult, stepResultOf } from "./step-result.ts";

/** A recording of what a real model did: `files` of any kind, or a short form for one that is known. */
export interface RecordedInput extends RecordingOptions {
  /** A file, a folder of files that make one recording, a pattern such as `dump/*.pt`, or several of these. */
  readonly files?: string | readonly string[] | undefined;
  /** File of integers `[tokens × topK]`, …, the experts that each token went to, −1 = none: `files` as selections. */
  readonly selections?: string | undefined;
  /** File of counts `[steps × experts]`, …: `files` as loads. */
  readonly loads?: string | undefined;
  /** Number of experts of the model; default: as the files say, or up to the last one chosen. */
  readonly experts?: number | undefined;
  /** Experts per token, for logits: plain top-k chooses them. */
  readonly topK?: number | undefined;
  /** Tokens per step, if the files have no steps; default: all. */
  readonly batchTokens?: number | undefined;
  /**
   * File that marks padding, for selections and logits: one boolean, 0 or 1 per token, 1 for padding. Tokens that are −1 in
   * every slot are padding without it.
   */
  readonly paddingMask?: string | undefined;
  /** Devices of expert parallelism, at most `experts`; default 1. */
  readonly ranks?: number | undefined;
}

/** Metrics of a recording. Score, regret and churn, which need a router, are null. */
export interface Measurement {
  /** What the files were taken for, in one line. */
  readonly description: string;
  /** What to know besides: files and columns left out, how gaps were filled. */
  readonly notes: readonly string[];
  readonly experts: number;
  /**
   * For the whole recording: of its one layer, or of each metric the mean over the layers. `maxVioWorst` is then the largest
   * MaxVio of the run of any layer.
   */
  readonly summary: RunSummary;
  /** Id of the layer with the largest MaxVio of the run; null if there is one layer. */
  readonly worstLayer: number | null;
  /** By rising id, without absent layers; one, if the recording has no layers. */
  readonly layers: readonly LayerMeasurement[];
  /** Ids of layers without any load, such as dense ones: in no mean. */
  readonly absentLayers: readonly number[];
  /**
   * One row per recorded step with a load, layer after layer, with the layer's id if there are several; steps of zeros, or of
   * padding alone, are left out.
   */
  readonly steps: readonly StepResult[];
}

/** Metrics of one layer of a recording. */
export interface LayerMeasurement {
  /** Id of the layer in the model, or its place in the files if they do not say. */
  readonly layer: number;
  readonly summary: RunSummary;
}

const count = z.int().positive();

const recordedInput = z
  .strictObject({
    ...recordingFields,
    files: recordingFields.files.optional(),
    selections: z.string().min(1).optional(),
    loads: z.string().min(1).optional(),
    batchTokens: count.optional(),
    paddingMask: z.string().min(1).optional(),
    ranks: count.default(1),
  })
  .refine(({ experts, ranks }) => experts === undefined || ranks <= experts, {
    path: ["ranks"],
    message: "it is more than the experts",
  });

/**
 * Returns the load, idle and rank metrics of what a real model did in each layer, and their means, as `moesim measure` does,
 * from files of any of the formats that it reads. Throws `InputError` if the files or their data are wrong, or the options do
 * not suit them.
 */
export async function measure(recorded: RecordedInput): Promise<Measurement> {
  const { files, selections, loads, batchTokens, paddingMask, ranks, ...options } = checked(
    "measure",
    recordedInput,
    recorded,
  );
  const named = [files, selections, loads].filter((each) => each !== undefined);
  if (named.length !== 1) throw new InputError("measure: give one of files, selections and loads");
  if (files === undefined && options.as !== undefined) {
    throw new InputError("measure: as: selections and loads say that already; use it only with files");
  }
  const as = selections !== undefined ? "selections" : loads !== undefined ? "loads" : options.as;
  const recording = await openRecording(named[0], { ...options, as });
  try {
    const experts = await expertsOf(recording, batchTokens);
    if (ranks > experts)
      throw new InputError(`measure: ranks: ${ranks} is more than the ${counted(experts, "expert")}`);
    const hasLayers = recording.layers.length > 1;
    const steps: StepResult[] = [];
    const { layers, absentLayers } = await measureRecording(
      recording,
      { experts, topK: options.topK, batchTokens, paddingMask, ranks },
      (record, { layer }) => steps.push(stepResultOf(record, hasLayers ? layer : undefined)),
    );
    const source = { scenario: "", router: "recorded", kind: "recorded", seed: null };
    const mean = hasLayers ? meanOfLayers(layers.map((layer) => ({ ...layer, source }))) : null;
    return {
      description: recording.description,
      notes: recording.notes,
      experts,
      summary: mean?.summary ?? layers[0].summary,
      worstLayer: mean?.worstLayer ?? null,
      layers: layers.map(({ layer, summary }) => ({ layer, summary })),
      absentLayers,
      steps,
    };
  } finally {
    await recording.close();
  }
}

async function expertsOf(recording: Recording, batchTokens: number | undefined): Promise<number> {
  const { name, holds, hasSteps } = recording;
  if (batchTokens !== undefined && (holds === "loads" || hasSteps)) {
    throw new InputError(`${name}: batchTokens: the recording already has steps; leave it out`);
  }
  const experts = recording.experts ?? (await leastExperts(recording, batchTokens));
  if (experts >= 1 && experts <= mostExperts) return experts;
  throw new InputError(`${name}: no token has an expert; say how many experts there are`);
}

import { z } from "zod";
import { scoreKinds } from "../assignment.ts";
import { type Diagnosis, type DiagnosisOptions, diagnoseRecording } from "../diagnosis/diagnosis.ts";
import { openRecording } from "../formats/recording.ts";
import { checked } from "./checked.ts";
import { type RecordingInput, recordingFields } from "./recording-input.ts";

/** Recorded files, how to read them, and how to diagnose them. */
export interface DiagnosisInput extends RecordingInput, DiagnosisOptions {
  /** Experts of the model, if the files do not say. */
  readonly experts?: number | undefined;
  /** Experts per token, for logits. */
  readonly topK?: number | undefined;
}

const count = z.int().positive();

const diagnosisInput = z.strictObject({
  ...recordingFields,
  batchTokens: count.optional(),
  paddingMask: z.string().min(1).optional(),
  scores: z.enum(scoreKinds).optional(),
  gpus: count.optional(),
  nodes: count.optional(),
  groups: count.optional(),
  capacityFactor: z.number().positive().optional(),
  split: z.number().gt(0).lt(1).optional(),
});

/**
 * Returns what is wrong with each layer of a recording, and what would help, as `moesim diagnose` does, from files of any of the
 * formats that it reads. Throws `InputError` if the files or their data are wrong, or the options do not suit them.
 */
export async function diagnose(recorded: DiagnosisInput): Promise<Diagnosis> {
  const { files, ...options } = checked("diagnose", diagnosisInput, recorded);
  const recording = await openRecording(files, options);
  try {
    return await diagnoseRecording(recording, options);
  } finally {
    await recording.close();
  }
}

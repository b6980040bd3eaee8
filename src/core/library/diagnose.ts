import { z } from "zod";
import { mostExperts, scoreKinds } from "../assignment.ts";
import { type Diagnosis, type DiagnosisOptions, diagnoseRecording } from "../diagnosis/diagnosis.ts";
import {
  axisNames,
  contents,
  inputKinds,
  openRecording,
  type Recording,
  type RecordingOptions,
} from "../formats/recording.ts";
import { platform } from "../platform.ts";
import type { Source } from "../source.ts";
import { checked } from "./checked.ts";

/** Recorded files, how to read them, and how to diagnose them. */
export interface DiagnosisInput extends RecordingOptions, DiagnosisOptions {
  /** A file, or the files of all ranks. */
  readonly files: string | readonly string[];
  readonly experts?: number | undefined;
  readonly topK?: number | undefined;
}

const count = z.int().positive();

const diagnosisInput = z.strictObject({
  files: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
  as: z.enum(contents).optional(),
  axes: z.array(z.enum(axisNames)).optional(),
  tensor: z.string().min(1).optional(),
  column: z.string().min(1).optional(),
  input: z.enum(inputKinds).optional(),
  divide: count.optional(),
  skip: z.int().nonnegative().optional(),
  experts: count.max(mostExperts).optional(),
  topK: count.max(mostExperts).optional(),
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
  const recording = await openFiles([files].flat(), options);
  try {
    return await diagnoseRecording(recording, options);
  } finally {
    await recording.close();
  }
}

async function openFiles(files: readonly string[], options: RecordingOptions): Promise<Recording> {
  const sources: Source[] = [];
  try {
    for (const file of files) sources.push(await platform().open(file));
  } catch (error) {
    await Promise.all(sources.map((source) => source.close?.()));
    throw error;
  }
  return openRecording(sources, options);
}

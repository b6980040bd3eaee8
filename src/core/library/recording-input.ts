import { z } from "zod";
import { mostExperts } from "../assignment.ts";
import { axisNames, contents, inputKinds, type RecordingOptions } from "../formats/recording.ts";

/** Recorded files, and how to read them. */
export interface RecordingInput extends RecordingOptions {
  /** A file, a folder of files that make one recording, a pattern such as `dump/*.pt`, or several of these. */
  readonly files: string | readonly string[];
}

const count = z.int().positive();

/** Fields of {@link RecordingInput}, for the schema of an input that has them. */
export const recordingFields = {
  files: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
  as: z.enum(contents).optional(),
  axes: z.array(z.enum(axisNames)).optional(),
  tensor: z.string().min(1).optional(),
  column: z.string().min(1).optional(),
  input: z.enum(inputKinds).optional(),
  divide: count.optional(),
  layers: z.array(z.union([z.int().nonnegative(), z.string().regex(/^\d+-\d+$/)])).optional(),
  skip: z.int().nonnegative().optional(),
  experts: count.max(mostExperts).optional(),
  topK: count.max(mostExperts).optional(),
} as const;

import { deserialize, serialize } from "node:v8";
import type { PassResult, PassState } from "../../core/simulation/pass.ts";
import type { StepFileMarks } from "../files/result-files.ts";
import { readSealed, writeSealed } from "../files/sealed-file.ts";

/** What is kept of a pass: where it stands, or what came of it, and its routers' part files up to there. */
export type PassCheckpoint = { readonly files: readonly StepFileMarks[] } & (
  | { readonly state: PassState }
  | { readonly result: PassResult }
);

/** Writes it over an earlier one of the same pass. */
export function writePassCheckpoint(file: string, checkpoint: PassCheckpoint): void {
  writeSealed(file, serialize(checkpoint));
}

/** Null where there is none. Throws `InputError` where it is damaged. */
export function readPassCheckpoint(file: string): PassCheckpoint | null {
  const bytes = readSealed(file);
  return bytes === null ? null : deserialize(bytes);
}

import { existsSync } from "node:fs";
import path from "node:path";
import { InputError } from "../../core/input-error.ts";
import { isRunRecord, type RunRecord } from "../../core/scenario/is-run-record.ts";
import { readSmallFile } from "./input-file.ts";

/** A scenario of thousands of routers takes a hundredth. */
const maxRecordBytes = 1 << 26;

/**
 * What run.json in `folder` holds, unchecked; undefined where there is none. Throws `InputError` if it
 * is no regular file or not JSON.
 */
export function readRunJson(folder: string): unknown {
  const file = path.join(folder, "run.json");
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readSmallFile(file, maxRecordBytes).toString("utf8"));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${file}: is not JSON`);
  }
}

/** The record that moesim wrote to run.json in `folder`; undefined where there is none, or the file is something else. */
export function readRunRecord(folder: string): RunRecord | undefined {
  try {
    const value = readRunJson(folder);
    return isRunRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

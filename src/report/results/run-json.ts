import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { InputError } from "../../core/input-error.ts";
import { isRunRecord, type RunRecord } from "../../scenario/is-run-record.ts";

/** What run.json in `folder` holds, unchecked; undefined where there is none. Throws `InputError` where it is not JSON. */
export function readRunJson(folder: string): unknown {
  const file = path.join(folder, "run.json");
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
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

import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { InputError } from "../../core/input-error.ts";

/** Whether `value`, which a run.json held, is a record that moesim wrote. */
export function isRunRecord(value: unknown): value is { readonly command?: unknown } {
  const { versions } = (value ?? {}) as { versions?: { moesim?: unknown } | null };
  return typeof versions?.moesim === "string";
}

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

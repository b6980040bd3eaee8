/** What moesim wrote to a run.json. Only its version is certain to exist: the file may have been edited since. */
export interface RunRecord {
  readonly versions: { readonly moesim: string };
  readonly [field: string]: unknown;
}

/** Whether `value`, read from a file, is a record that moesim wrote. */
export function isRunRecord(value: unknown): value is RunRecord {
  const { versions } = (value ?? {}) as { versions?: { moesim?: unknown } | null };
  return typeof versions?.moesim === "string";
}

/** What moesim wrote to a run.json. Only its version is certain to be there: the file may have been edited since. */
export interface RunRecord {
  readonly versions: { readonly moesim: string };
  readonly [field: string]: unknown;
}

/** Whether `value`, which a file held, is a record that moesim wrote. */
export function isRunRecord(value: unknown): value is RunRecord {
  const { versions } = (value ?? {}) as { versions?: { moesim?: unknown } | null };
  return typeof versions?.moesim === "string";
}

import type { z } from "zod";
import { InputError } from "../input-error.ts";
import { type KernelBackend, type Kernels, kernelBackends, loadKernels } from "../kernels/index.ts";
import { describeIssues, problemsError } from "../scenario/problems.ts";
import { suggestion } from "../suggestion.ts";
import { markDisabled } from "../token-batch.ts";

/** Parses `value` with `schema`. Throws one `InputError` that begins with `where` and lists all problems. */
export function checked<Schema extends z.ZodType>(where: string, schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw problemsError(where, describeIssues(parsed.error, schema, value));
}

/** Throws `InputError` if `options` is not an object, or has an option that is not `known`. */
export function checkOptions(where: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== "object" || options === null) {
    throw new InputError(`${where}: options: ${String(options)} is not allowed; expected an object, or nothing`);
  }
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new InputError(
    `${where}: ${unknown}: unknown option.${suggestion(unknown, known)} Allowed: ${known.join(", ")}.`,
  );
}

/** Returns kernels with their own memory. Throws `InputError` if the name is not a backend, or if it does not load. */
export async function kernelsOf(backend: KernelBackend = "wasm"): Promise<Kernels> {
  if (kernelBackends.includes(backend)) return loadKernels(backend);
  throw new InputError(`backend: "${backend}" is not allowed. Allowed: ${kernelBackends.join(", ")}.`);
}

/**
 * Returns the number of rows in `values`, flat and row-major with `columns` entries each. Throws `InputError` if the
 * last row is incomplete or there are no rows.
 */
export function rowsOf(where: string, values: ArrayLike<number>, columns: number): number {
  const rows = values.length / columns;
  if (Number.isInteger(rows) && rows > 0) return rows;
  throw new InputError(`${where}: ${values.length} entries; expected one or more whole rows of ${columns}`);
}

/**
 * Copies `values` `[rows × columns]` into `into`, which is at least as long. Throws `InputError`, naming row and
 * `column`, if an entry is not finite in the precision of `into`.
 */
export function copyFinite(
  where: string,
  values: ArrayLike<number>,
  columns: number,
  into: Float32Array | Float64Array,
  column = "expert",
): void {
  into.set(values);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(into[i])) {
      const place = `token ${Math.floor(i / columns)}, ${column} ${i % columns}`;
      throw new InputError(`${where}: ${place}: ${values[i]} is not allowed; expected a finite number`);
    }
  }
}

/**
 * As {@link copyFinite}, of logits, which may be −∞ for an expert that is disabled for the token; what is below −1e30 becomes
 * that. Returns whether there are any.
 */
export function copyLogits(where: string, values: ArrayLike<number>, columns: number, into: Float32Array): boolean {
  into.set(values);
  const hasDisabled = markDisabled(into, values.length);
  for (let i = 0; i < values.length; i++) {
    if (into[i] < Number.POSITIVE_INFINITY) continue;
    const place = `token ${Math.floor(i / columns)}, expert ${i % columns}`;
    throw new InputError(`${where}: ${place}: ${values[i]} is not allowed, a finite number or -Infinity is expected`);
  }
  return hasDisabled;
}

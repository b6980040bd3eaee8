import type { z } from "zod";
import { InputError } from "../input-error.ts";
import { type KernelBackend, type Kernels, kernelBackends, loadKernels } from "../kernels/index.ts";
import { describeIssues, problemsError } from "../scenario/problems.ts";
import { markDisabled } from "../token-batch.ts";

/** What `schema` makes of `value`. Throws one `InputError` that begins with `where` and lists all problems. */
export function checked<Schema extends z.ZodType>(where: string, schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw problemsError(where, describeIssues(parsed.error, schema, value));
}

/** Kernels with memory of their own. Throws `InputError` for a name that is no backend, and for one that does not load. */
export async function kernelsOf(backend: KernelBackend = "wasm"): Promise<Kernels> {
  if (kernelBackends.includes(backend)) return loadKernels(backend);
  throw new InputError(`backend: "${backend}" is not allowed. Allowed: ${kernelBackends.join(", ")}.`);
}

/**
 * How many rows `values`, flat and row-major, has with `columns` entries each. Throws `InputError` where the last row is
 * cut short, and where there is none.
 */
export function rowsOf(where: string, values: ArrayLike<number>, columns: number): number {
  const rows = values.length / columns;
  if (Number.isInteger(rows) && rows > 0) return rows;
  throw new InputError(`${where}: ${values.length} entries are no whole rows of ${columns}; at least one is expected`);
}

/**
 * Copies `values` `[rows × columns]` into `into`, which is at least as long. Throws `InputError`, naming row and column, where
 * an entry is not finite in the precision of `into`.
 */
export function copyFinite(
  where: string,
  values: ArrayLike<number>,
  columns: number,
  into: Float32Array | Float64Array,
): void {
  into.set(values);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(into[i])) {
      const place = `token ${Math.floor(i / columns)}, expert ${i % columns}`;
      throw new InputError(`${where}: ${place}: ${values[i]} is not allowed, a finite number is expected`);
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

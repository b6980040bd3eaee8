import path from "node:path";
import { z } from "zod";
import { InputError } from "../../core/input-error.ts";
import type { Results } from "../../core/results/results.ts";
import type { DualRegretBasis } from "../../core/results/warnings.ts";
import { readRunJson } from "./run-json.ts";

const recordSchema = z.object({
  dualRegret: z.array(z.object({ router: z.string(), gap: z.number(), keptFraction: z.number() })).default([]),
});

/**
 * On what the dual regret of each router of each run rests, from their run.json; nothing of a run whose run.json is
 * missing or does not tell. Throws `InputError` where one holds something else.
 */
export function dualRegretBases({ runs }: Results): DualRegretBasis[] {
  return runs.flatMap(({ folder }) => {
    const written = readRunJson(folder);
    const record = recordSchema.safeParse(written === undefined ? {} : written);
    if (record.success) return record.data.dualRegret;
    throw new InputError(`${path.join(folder, "run.json")}: dualRegret is not as run and sweep write it`);
  });
}

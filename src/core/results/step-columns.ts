import { existsSync } from "node:fs";
import path from "node:path";
import type { Results } from "../../node/files/results.ts";
import { openRows } from "../../node/files/row-reader.ts";

/** Columns that say whose row it is. */
const keys = new Set(["scenario", "router", "seed", "step", "layer"]);

/** The metrics that the steps.csv of any run has a column of, in their order. Throws `InputError` if one is malformed. */
export async function stepMetrics({ runs }: Results): Promise<string[]> {
  const found = new Set<string>();
  for (const { folder } of runs) {
    const file = path.join(folder, "steps.csv");
    if (!existsSync(file)) continue;
    const reader = await openRows(file, ["router", "step"]);
    for (const column of reader.columns) if (!keys.has(column)) found.add(column);
    reader.close();
  }
  return Array.from(found);
}

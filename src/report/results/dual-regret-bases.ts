import { readFileSync } from "node:fs";
import path from "node:path";
import { InputError } from "../../core/input-error.ts";
import type { DualRegretBasis } from "../warnings.ts";
import type { Results } from "./results.ts";

/** On what the dual regret of each router of each run rests, from their run.json. Throws `InputError` where one is bad. */
export function dualRegretBases({ runs }: Results): DualRegretBasis[] {
  return runs.flatMap(({ folder }) => {
    const file = path.join(folder, "run.json");
    try {
      const { dualRegret } = JSON.parse(readFileSync(file, "utf8")) as { dualRegret: readonly DualRegretBasis[] };
      return Array.from(dualRegret);
    } catch (error) {
      throw new InputError(`${file}: cannot be read as the record of a run: ${(error as Error).message}`);
    }
  });
}

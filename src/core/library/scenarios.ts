import { loadScenario as loadScenarioFile } from "../scenario/load.ts";
import { parseOverride } from "../scenario/overrides.ts";
import type { Scenario } from "../scenario/scenario.ts";
import { defaultMaxCells, type SweepCell, sweepCells } from "../scenario/sweep.ts";
import type { ScenarioInput } from "./scenario-input.ts";

/**
 * Reads a scenario file, YAML or JSON, and checks it; every default is filled in. Its relative paths start at its folder.
 *
 * @param overrides `path=value`, as `--set` takes them: `"routers.alf-lb.updateRate=0.01"`
 */
export async function loadScenario(file: string, overrides: readonly string[] = []): Promise<Scenario> {
  return loadScenarioFile(file, overrides.map(parseOverride));
}

/**
 * The cells of a scenario's `sweep` and `seeds`, for {@link simulate}: every combination of values, the last path
 * changing fastest, and for each the seeds. Throws `InputError` where a cell is refused, or there are more than `maxCells`.
 */
export function expandSweep(scenario: ScenarioInput, maxCells = defaultMaxCells): Promise<SweepCell[]> {
  return sweepCells(scenario, "scenario", maxCells);
}

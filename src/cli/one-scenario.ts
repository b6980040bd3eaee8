import path from "node:path";
import type { Options } from "yargs";
import { resolveScenario } from "../core/scenario/load.ts";
import { parseOverride, withOverride } from "../core/scenario/overrides.ts";
import type { Scenario } from "../core/scenario/scenario.ts";
import { checkSweep, defaultMaxCells } from "../core/scenario/sweep.ts";
import { readScenarioFile } from "../node/files/scenario-file.ts";
import { optionGroups, scenarioPositional, setOption } from "./common-options.ts";

/** Options of commands that take one scenario and can change it. */
export interface ScenarioArguments {
  scenario: string;
  seed?: number | undefined;
  set: string[];
}

export const recordedScenarioPositional = {
  ...scenarioPositional,
  describe: "Scenario file (YAML or JSON), or the run.json of a run",
} as const;

export const scenarioOptions = {
  seed: {
    type: "number",
    group: optionGroups.input,
    requiresArg: true,
    describe: "Seed to use instead of the scenario's",
  },
  set: setOption,
} as const satisfies Record<string, Options>;

export const maxCellsOption = {
  type: "number",
  group: optionGroups.computation,
  requiresArg: true,
  default: defaultMaxCells,
  describe: "Maximum number of cells of a sweep",
} as const satisfies Options;

/** The sweep that a scenario asks for. */
export interface SweepSize {
  readonly cells: number;
  /** The keys that ask for it: `sweep`, `seeds` or both. */
  readonly names: readonly string[];
}

/** A scenario as a command runs it. */
export interface OneScenario {
  readonly scenario: Scenario;
  /** The file that it was originally written in. */
  readonly origin: string;
  /** Null if it asks for no sweep. */
  readonly sweepSize: SweepSize | null;
}

/** Reads the scenario that the options name. Throws `InputError`. */
export async function readOneScenario({ scenario: file, seed, set }: ScenarioArguments): Promise<OneScenario> {
  const overrides = set.map(parseOverride);
  if (seed !== undefined) overrides.push({ path: ["seed"], value: seed });
  const { written, origin } = await readScenarioFile(file);
  const changed = overrides.reduce<unknown>(withOverride, written);
  const scenario = await resolveScenario(changed, file, path.dirname(origin));
  const cells = checkSweep(scenario, changed, written, file);
  const names = ["sweep", "seeds"].filter((name) => Object.hasOwn(changed as object, name));
  return { scenario, origin, sweepSize: names.length === 0 ? null : { cells, names } };
}

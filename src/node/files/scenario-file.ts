import path from "node:path";
import { InputError } from "../../core/input-error.ts";
import { isRunRecord } from "../../core/results/results.ts";
import { resolveScenario } from "../../core/scenario/load.ts";
import { parseOverride, withOverrides } from "../../core/scenario/overrides.ts";
import { parsePlainData } from "../../core/scenario/plain-data.ts";
import type { Scenario } from "../../core/scenario/scenario.ts";
import { readText } from "../../core/source.ts";
import { openInputFile } from "./input-file.ts";

/** A thousand times our longest scenario. */
const maxScenarioBytes = 1 << 23;

/** A scenario as written in a file: plain data, unchecked. */
export interface WrittenScenario {
  readonly written: unknown;
  /** The file it was originally written in, whose folder relative paths start from; for a run.json, the one that it names. */
  readonly origin: string;
}

/**
 * Reads a scenario file, YAML or JSON, or the scenario in the run.json of a run or cell. Throws `InputError` with the file and
 * the line.
 */
export async function readScenarioFile(file: string): Promise<WrittenScenario> {
  const data = await readData(file);
  if (!isRunRecord(data)) return { written: data, origin: file };
  const { command, scenario, scenarioFile } = data;
  if (typeof scenario !== "object" || scenario === null) {
    throw new InputError(
      `${file}: this is the record of ${JSON.stringify(command)}, which has no scenario; those of run and sweep have one`,
    );
  }
  return { written: scenario, origin: typeof scenarioFile === "string" ? scenarioFile : file };
}

async function readData(file: string): Promise<unknown> {
  const data = parsePlainData(await readText(await openInputFile(file), maxScenarioBytes), file);
  if (data === null || data === undefined) {
    throw new InputError(
      `${file}: is empty; a scenario needs at least a name, experts, a stream and routers (moesim schema describes all fields)`,
    );
  }
  if (typeof data !== "object" || Array.isArray(data)) {
    throw new InputError(
      `${file}: holds ${Array.isArray(data) ? "a list" : "plain text or a number"}; a scenario is a mapping such as "experts: 64"`,
    );
  }
  return data;
}

/**
 * Reads a scenario file, YAML or JSON, fills in defaults, and checks it against the schema and all sizes, including those of
 * recorded data. Relative paths start at the file's folder. Throws one `InputError` that lists all problems.
 *
 * @param overrides `path=value`, as `--set` takes them, applied in order: `"routers.alf-lb.updateRate=0.01"`
 */
export async function loadScenario(file: string, overrides: readonly string[] = []): Promise<Scenario> {
  const { written, origin } = await readScenarioFile(file);
  const changed = withOverrides(written, overrides.map(parseOverride));
  return resolveScenario(changed, file, path.dirname(origin));
}

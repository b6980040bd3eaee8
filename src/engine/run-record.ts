import { stat } from "node:fs/promises";
import type { KernelBackend } from "../kernels/index.ts";
import { type Scenario, toScenarioFile } from "../scenario/scenario.ts";
import { findInputFile } from "../streams/readers/input-file.ts";
import { tensorVersions } from "../tensors/load.ts";
import { version } from "../version.ts";
import { trains } from "./open-scenario.ts";
import type { RouterResult } from "./router-results.ts";

/** Where the file is that a scenario's stream reads; null where it reads none. Throws `InputError` where it is gone. */
export async function inputFileOf({ stream, folder }: Scenario): Promise<string | null> {
  return typeof stream.options.path === "string" ? findInputFile(stream.options.path, folder) : null;
}

/** Which file a scenario's stream reads, if any, and how it was: tells whether it has changed. */
export async function inputRecord(scenario: Scenario): Promise<object | null> {
  const file = await inputFileOf(scenario);
  if (file === null) return null;
  const { size, mtimeMs } = await stat(file);
  return { path: scenario.stream.options.path, bytes: size, modifiedMs: mtimeMs };
}

/**
 * What run.json says of a run that began at `start` and ends now with `results`: all that is needed to run it again, and
 * on what its dual regret rests.
 */
export async function runRecord(
  command: "run" | "sweep",
  scenarioFile: string,
  scenario: Scenario,
  backend: KernelBackend,
  start: Date,
  results: readonly RouterResult[],
): Promise<object> {
  return {
    command,
    scenarioFile,
    scenario: toScenarioFile(scenario),
    input: await inputRecord(scenario),
    seed: scenario.seed,
    backend,
    dualRegret: results.flatMap(({ router, dualRegret }) =>
      dualRegret === null ? [] : [{ router: router.name, gap: dualRegret.gap, keptFraction: dualRegret.keptFraction }],
    ),
    ...provenance(start, hasTensors(scenario, backend) ? await tensorVersions() : {}),
  };
}

function hasTensors(scenario: Scenario, backend: KernelBackend): boolean {
  return trains(scenario) || backend === "tfjs" || backend === "tfjs-gpu";
}

/** With which programs something was run that began at `start` and ends now; `others` by name. */
export function provenance(start: Date, others: Readonly<Record<string, string>> = {}): object {
  return {
    versions: { moesim: version, node: process.version, ...others },
    start: start.toISOString(),
    end: new Date().toISOString(),
  };
}

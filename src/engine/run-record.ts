import { stat } from "node:fs/promises";
import type { KernelBackend } from "../kernels/index.ts";
import { type Scenario, toScenarioFile } from "../scenario/scenario.ts";
import { findInputFile } from "../streams/readers/input-file.ts";
import { version } from "../version.ts";
import type { RouterResult } from "./router-results.ts";

/** Which file a scenario's stream reads, if any, and how it was: tells whether it has changed. */
export async function inputRecord({ stream, folder }: Scenario): Promise<object | null> {
  if (typeof stream.options.path !== "string") return null;
  const { size, mtimeMs } = await stat(await findInputFile(stream.options.path, folder));
  return { path: stream.options.path, bytes: size, modifiedMs: mtimeMs };
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
    ...provenance(start),
  };
}

/** With which programs something was run that began at `start` and ends now. */
export function provenance(start: Date): object {
  return {
    versions: { moesim: version, node: process.version },
    start: start.toISOString(),
    end: new Date().toISOString(),
  };
}

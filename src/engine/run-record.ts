import type { KernelBackend } from "../kernels/index.ts";
import { type Scenario, toScenarioFile } from "../scenario/scenario.ts";
import { version } from "../version.ts";

/** What run.json says of a run that began at `start` and ends now: all that is needed to run it again. */
export function runRecord(
  command: "run" | "sweep",
  scenarioFile: string,
  scenario: Scenario,
  backend: KernelBackend,
  start: Date,
): object {
  return {
    command,
    scenarioFile,
    scenario: toScenarioFile(scenario),
    seed: scenario.seed,
    backend,
    versions: { moesim: version, node: process.version },
    start: start.toISOString(),
    end: new Date().toISOString(),
  };
}

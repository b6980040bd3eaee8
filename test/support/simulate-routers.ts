import { createKernels, type KernelBackend } from "../../src/core/kernels/index.ts";
import type { StepRecord } from "../../src/core/metrics/step-record.ts";
import type { RouterChoice, Scenario } from "../../src/core/scenario/scenario.ts";
import { type RouterResult, routerResults } from "../../src/core/simulation/result.ts";
import { hasOwnStreams, partOf } from "../../src/core/simulation/sharing.ts";
import { createSimulation } from "../../src/core/simulation/simulation.ts";

export interface RouterSimulation {
  /** Some of the scenario's routers; all by default. */
  readonly routers?: readonly RouterChoice[];
  readonly backend?: KernelBackend & ("wasm" | "reference");
  readonly onStep?: (router: RouterChoice, record: StepRecord) => void;
}

/** Steps routers of a scenario to the end, those with streams of their own one after the other. */
export async function simulateRouters(
  scenario: Scenario,
  { routers = scenario.routers, backend = "wasm", onStep }: RouterSimulation = {},
): Promise<RouterResult[]> {
  const positions = routers.map((router) => scenario.routers.indexOf(router));
  const groups = hasOwnStreams(scenario) ? positions.map((position) => [position]) : [positions];
  const results = [];
  for (const group of groups) {
    const kernels = createKernels(backend);
    const simulation = await createSimulation(scenario, { kernels, part: partOf(scenario, group) });
    for (let records = await simulation.step(); records !== null; records = await simulation.step()) {
      for (const [index, record] of records.entries()) onStep?.(simulation.runs[index].choice, record);
    }
    results.push(await simulation.result());
    await simulation.close();
  }
  return routerResults(scenario, results);
}

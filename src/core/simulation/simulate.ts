import type { Kernels } from "../kernels/kernels.ts";
import type { StepRecord } from "../metrics/step-record.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import { type PassResult, runPass } from "./pass.ts";
import { wholePasses } from "./pass-plan.ts";
import { type RouterResult, routerResults } from "./router-results.ts";

export interface SimulationOptions {
  readonly kernels: Kernels;
  /** Called for each router on each step, in the order of the steps. */
  readonly onStep?: (router: RouterChoice, record: StepRecord) => void;
}

/**
 * Routes a scenario's stream through `routers`, some or all of the scenario's: for every batch each router routes it and
 * the metrics are taken. The routers see the same batches, except on a stream that sees the router's load, where each
 * has a stream of its own. What a router does depends on neither the others nor their order. Throws `InputError` where
 * recorded data is bad or the sizes need more memory than the kernels can have.
 */
export async function simulate(
  scenario: Scenario,
  routers: readonly RouterChoice[],
  options: SimulationOptions,
): Promise<RouterResult[]> {
  const positions = routers.map((router) => scenario.routers.indexOf(router));
  const passes: PassResult[] = [];
  for (const plan of wholePasses(scenario, positions)) passes.push(await runPass(scenario, plan, options));
  return routerResults(scenario, passes);
}

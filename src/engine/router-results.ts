import { dualRegret } from "../metrics/dual-regret.ts";
import { createRegretMeter, type Optimum, type StepRegret } from "../metrics/regret.ts";
import { type RunSummary, summarizeRegret } from "../metrics/run-summary.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import type { HindsightResult, PassResult } from "./pass.ts";
import { hasOwnStreams } from "./pass-plan.ts";
import { optimumRouter } from "./regret.ts";
import type { RoutedRun, Timing } from "./router-run.ts";

/** How far a router's biases were from the best bias in hindsight. */
export interface DualRegret extends Pick<HindsightResult, "gap" | "keptFraction"> {
  /** `[steps]`, Σ f_i(b_i) − f_i(b*) up to each step, b* the best fixed bias over the whole run. */
  readonly cumulative: Float64Array;
}

/** What one router of a scenario came to. */
export interface RouterResult {
  readonly router: RouterChoice;
  readonly summary: RunSummary;
  readonly timing: Timing;
  /** On the steps 0, every, 2·every, … of the scenario's regret. */
  readonly regrets: readonly StepRegret[];
  /** Null for routers without a bias, or where the scenario asks for no regret. */
  readonly dualRegret: DualRegret | null;
}

/**
 * Puts together what passes over a scenario's stream found, whichever did what: the routers' scores, the optima they fall
 * short of and the biases they could have had. Routers are in the scenario's order.
 */
export function routerResults(scenario: Scenario, passes: readonly PassResult[]): RouterResult[] {
  // Where each router has a stream of its own, so are its optima.
  const groups = hasOwnStreams(scenario) ? passes.map((pass) => [pass]) : [passes];
  return groups
    .flatMap((group) => group.flatMap(({ runs }) => runs.map((run) => ({ run, group }))))
    .toSorted((a, b) => a.run.position - b.run.position)
    .map(({ run, group }) => resultOf(scenario, run, group));
}

function resultOf(scenario: Scenario, run: RoutedRun, passes: readonly PassResult[]): RouterResult {
  const router = scenario.routers[run.position];
  const optima = optimaFor(scenario, router, passes);
  const meter = createRegretMeter(scenario.topK);
  const regrets = run.feasible.map(({ score, tokens }, index) => meter.measure(optima[index], score, tokens));
  return {
    router,
    summary: { ...run.summary, ...summarizeRegret(regrets) },
    timing: run.timing,
    regrets,
    dualRegret: dualRegretOf(run.duals, router, passes),
  };
}

/** The optima by the router's affinities, in the order of the steps. */
function optimaFor(scenario: Scenario, { scores }: RouterChoice, passes: readonly PassResult[]): readonly Optimum[] {
  const runs = passes.flatMap((pass) => pass.runs).toSorted((a, b) => a.position - b.position);
  const routers = runs.map(({ position }) => scenario.routers[position]);
  const prover = optimumRouter(scenario, routers, scores);
  if (prover !== undefined) return runs[routers.indexOf(prover)].optima;
  return passes
    .flatMap(({ plan, optima }) => plan.optima.map((part, index) => ({ part, optima: optima[index] })))
    .filter(({ part }) => part.scores === scores)
    .toSorted((a, b) => a.part.first - b.part.first)
    .flatMap((found) => found.optima);
}

function dualRegretOf(
  duals: Float64Array | null,
  { scores }: RouterChoice,
  passes: readonly PassResult[],
): DualRegret | null {
  if (duals === null) return null;
  const { least, gap, keptFraction } = passes.flatMap(({ plan, hindsight }) =>
    plan.hindsight.flatMap((kind, index) => (kind === scores ? [hindsight[index]] : [])),
  )[0];
  return { cumulative: dualRegret(duals, least), gap, keptFraction };
}

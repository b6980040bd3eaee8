import { dualRegret as regretOfDuals } from "../metrics/dual-regret.ts";
import { createOptimumSeries, createRegretMeter, type OptimumSeries, type RegretSeries } from "../metrics/regret.ts";
import { type RunSummary, summarizeRegret } from "../metrics/run-summary.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import type { HindsightResult, PassResult } from "./pass.ts";
import { hasOwnStreams } from "./pass-plan.ts";
import { measuredSteps } from "./regret.ts";
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
  /** On the measured steps, `regret.ts` says which. */
  readonly regrets: RegretSeries;
  /** Of these steps, those on which the router's transport solver ran. */
  readonly solvedWithRegret: number;
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
    .map((group) => ({ group, optima: optimaOf(scenario, group) }))
    .flatMap(({ group, optima }) => group.flatMap(({ runs }) => runs.map((run) => ({ run, group, optima }))))
    .toSorted((a, b) => a.run.position - b.run.position)
    .map(({ run, group, optima }) => resultOf(scenario, run, group, optima));
}

function resultOf(
  scenario: Scenario,
  run: RoutedRun,
  passes: readonly PassResult[],
  optima: OptimumSeries,
): RouterResult {
  const router = scenario.routers[run.position];
  const regrets = regretsOf(scenario, run, optima);
  const dualRegret = dualRegretOf(run.duals, router, passes);
  return {
    router,
    summary: {
      ...run.summary,
      ...summarizeRegret(regrets, scenario.steps, scenario.regret.every),
      dualRegretCumulative: dualRegret?.cumulative.at(-1) ?? null,
    },
    timing: run.timing,
    regrets,
    solvedWithRegret: run.solvedWithRegret,
    dualRegret,
  };
}

/** How far the router's feasible scores fall short of the optima. */
function regretsOf({ topK }: Scenario, { feasible }: RoutedRun, { upperBound, gap }: OptimumSeries): RegretSeries {
  const count = feasible.score.length;
  const meter = createRegretMeter(topK);
  const [regret, regretCumulative] = [new Float64Array(count), new Float64Array(count)];
  for (let i = 0; i < count; i++) {
    const step = meter.measure({ upperBound: upperBound[i], gap: gap[i] }, feasible.score[i], feasible.tokens[i]);
    regret[i] = step.regret;
    regretCumulative[i] = step.regretCumulative;
  }
  return { regret, regretCumulative, optimumGap: gap };
}

/** The optima of the measured steps: those that a router proved, else those found in parts. */
function optimaOf(scenario: Scenario, passes: readonly PassResult[]): OptimumSeries {
  const runs = passes.flatMap((pass) => pass.runs).toSorted((a, b) => a.position - b.position);
  const prover = runs.find(({ optima }) => optima !== null);
  if (prover !== undefined) return prover.optima!;
  const all = createOptimumSeries(measuredSteps(scenario).strata);
  for (const { plan, optima } of passes) {
    for (const [index, { first }] of plan.optima.entries()) {
      all.upperBound.set(optima[index].upperBound, first);
      all.gap.set(optima[index].gap, first);
    }
  }
  return all;
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
  return { cumulative: regretOfDuals(duals, least), gap, keptFraction };
}

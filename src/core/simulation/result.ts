import { least } from "d3-array";
import type { StepColumn } from "../metrics/catalogue.ts";
import { dualRegret } from "../metrics/dual-regret.ts";
import {
  createOptimumSeries,
  createRegretMeter,
  type OptimumSeries,
  type RegretSeries,
  type StepRegret,
} from "../metrics/regret.ts";
import { createRunSummary, type RunSummary, type RunTiming, summarizeRegret } from "../metrics/run-summary.ts";
import { figureAt, figuresOf } from "../metrics/step-series.ts";
import { routerKindOf } from "../routers/index.ts";
import { hasLayers, type RouterChoice, type Scenario, scenariosOfLayers } from "../scenario/scenario.ts";
import { type FoundOptima, measuredSteps } from "./optima.ts";
import type { GpuLoads } from "./placement-run.ts";
import type { FeasibleSeries, RoutedRun, RunSeries } from "./router-run.ts";
import { hasOwnStreams, type SimulationPart } from "./sharing.ts";

/** The best fixed bias in hindsight, which dual regret is measured against. */
export interface HindsightResult {
  /** `[steps]`, f_n(b*). */
  readonly least: Float64Array;
  /** Proven bound on the error of the sum over the run, for the tokens that were kept. */
  readonly gap: number;
  /** Fraction of all tokens that it is based on; below 1 if only part of the run was kept. */
  readonly keptFraction: number;
}

/** What a simulation found. Plain data. */
export interface PartResult {
  readonly part: SimulationPart;
  /** Steps done. */
  readonly steps: number;
  /** Position of the router that proved the optima; null if they were searched for. */
  readonly prover: number | null;
  /** In the order of the part's `routers`. */
  readonly runs: readonly RoutedRun[];
  readonly optima: readonly FoundOptima[];
  /** In the order of the part's `hindsight`. */
  readonly hindsight: readonly HindsightResult[];
}

/** Distance of a router's biases from the best bias in hindsight. */
export interface DualRegret extends Pick<HindsightResult, "gap" | "keptFraction"> {
  /** `[steps]`, Σ f_i(b_i) − f_i(b*) up to each step, b* the best fixed bias over the whole run. */
  readonly cumulative: Float64Array;
}

/** What one router of a scenario did, in one layer if there are several. */
export interface RouterResult {
  readonly router: RouterChoice;
  /** Id of the layer; absent if the scenario has only one. */
  readonly layer?: number;
  /** Steps done. */
  readonly steps: number;
  readonly summary: RunSummary;
  readonly timing: RunTiming;
  /** Null if the scenario does not place experts. */
  readonly gpuLoads: GpuLoads | null;
  readonly series: RunSeries;
  /** Regret on the measured steps, see `measuredSteps`. */
  readonly regrets: RegretSeries;
  /** Measured steps on which the router's transport solver ran. */
  readonly solvedWithRegret: number;
  /** Null for routers without a bias, or if the scenario asks for no regret. */
  readonly dualRegret: DualRegret | null;
  /** Returns the value of `column` on a step; null if it does not apply. */
  figureAt(step: number, column: StepColumn): number | null;
}

/**
 * Combines what the parts of each layer found. The results of a router's layers, in the scenario's order, come before
 * those of the next router.
 *
 * @param partsOfLayers in the order of {@link scenariosOfLayers}
 */
export function layerResults(
  scenario: Scenario,
  partsOfLayers: readonly (readonly PartResult[])[],
): readonly RouterResult[] {
  const layers = scenariosOfLayers(scenario).map((ofLayer, index) => routerResults(ofLayer, partsOfLayers[index]));
  if (!hasLayers(scenario)) return layers[0];
  return scenario.routers.flatMap((_, router) =>
    layers.map((results, index) => ({ ...results[router], layer: scenario.layers![index] })),
  );
}

/**
 * Combines what the parts of a scenario of one layer found, however the work was divided: the routers' scores, the optima
 * they miss and the best biases in hindsight. Routers are in the scenario's order.
 */
export function routerResults(scenario: Scenario, parts: readonly PartResult[]): RouterResult[] {
  // If each router has its own stream, it also has its own optima.
  const groups = hasOwnStreams(scenario) ? parts.map((part) => [part]) : [parts];
  return groups
    .map((group) => ({ group, optima: optimaOf(scenario, group) }))
    .flatMap(({ group, optima }) =>
      group.flatMap(({ runs, steps }) => runs.map((run) => ({ run, steps, group, optima }))),
    )
    .toSorted((a, b) => a.run.position - b.run.position)
    .map(({ run, steps, group, optima }) => resultOf(scenario, run, steps, group, optima));
}

function resultOf(
  scenario: Scenario,
  { position, series, summary, tokens, gpuLoads }: RoutedRun,
  steps: number,
  parts: readonly PartResult[],
  optima: OptimumSeries,
): RouterResult {
  const router = scenario.routers[position];
  const sample = measuredSteps(scenario);
  const regrets = regretsOf(scenario, series, optima);
  const dualRegret = dualRegretOf(series.duals, router, parts);
  const regretAt = (measured: number): StepRegret => ({
    regret: regrets.regret[measured],
    regretCumulative: regrets.regretCumulative[measured],
    optimumGap: regrets.optimumGap[measured],
  });
  const iterations = figuresOf(series.figures, "solver_iterations");
  let solvedWithRegret = 0;
  for (let measured = 0; measured < regrets.regret.length; measured++) {
    if (!Number.isNaN(iterations[sample.drawnFrom(measured)])) solvedWithRegret += 1;
  }
  const { plan } = routerKindOf(router);
  const regret = summarizeRegret(regrets, steps, scenario.regret.every);
  const { routeMs, trainMs } = series;
  return {
    router,
    steps,
    summary: {
      ...createRunSummary({ ...scenario, plan }, summary).summary(figuresOf(series.figures, "max_vio"), regret),
      dualRegretCumulative: dualRegret?.cumulative.at(-1) ?? null,
    },
    timing: { routeMs, trainMs, tokens },
    gpuLoads,
    series,
    regrets,
    solvedWithRegret,
    dualRegret,
    figureAt(step, column) {
      if (column.join === undefined) return figureAt(series.figures, step, column);
      const measured = sample.stratumOf(step);
      return column.join({
        regret: measured < 0 || Number.isNaN(regrets.regret[measured]) ? null : regretAt(measured),
        ...(dualRegret !== null && { dualRegretCumulative: dualRegret.cumulative[step] }),
      });
    },
  };
}

/** Returns the regret as measured, or computes it from feasible scores and optima that another thread found. */
function regretsOf({ topK }: Scenario, { regret: measured, feasible }: RunSeries, optima: OptimumSeries): RegretSeries {
  const regret = measured ?? missedBy(topK, feasible!, optima);
  let sum = 0;
  const regretCumulative = regret.map((step) => {
    if (!Number.isNaN(step)) sum += step;
    return sum;
  });
  return { regret, regretCumulative, optimumGap: optima.gap.subarray(0, regret.length) };
}

/** Returns the regret of scores against `optima`, `[measured steps]`. */
function missedBy(topK: number, { score, tokens }: FeasibleSeries, { upperBound, gap }: OptimumSeries): Float64Array {
  const meter = createRegretMeter(topK);
  return score.map((value, i) => meter.measure({ upperBound: upperBound[i], gap: gap[i] }, value, tokens[i]).regret);
}

/** Returns the optima of the measured steps: those of the first router that proved them, else those found in parts. */
function optimaOf(scenario: Scenario, parts: readonly PartResult[]): OptimumSeries {
  const proven = least(
    parts.filter(({ prover }) => prover !== null),
    ({ prover }) => prover!,
  );
  const all = createOptimumSeries(measuredSteps(scenario).strata);
  for (const { optima } of proven === undefined ? parts : [proven]) {
    for (const { first, upperBound, gap } of optima) {
      all.upperBound.set(upperBound, first);
      all.gap.set(gap, first);
    }
  }
  return all;
}

function dualRegretOf(
  duals: Float64Array | null,
  { scores }: RouterChoice,
  parts: readonly PartResult[],
): DualRegret | null {
  if (duals === null) return null;
  const { least, gap, keptFraction } = parts.flatMap(({ part, hindsight }) =>
    part.hindsight.flatMap((kind, index) => (kind === scores ? [hindsight[index]] : [])),
  )[0];
  // Tokens with a disabled expert are not kept: if every token has one, nothing is known.
  if (keptFraction === 0) return null;
  return { cumulative: dualRegret(duals, least), gap, keptFraction };
}

import { hindsightTolerance } from "../metrics/dual-regret.ts";
import { routerKindOf } from "../routers/index.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import { counted } from "../words.ts";
import { formatNumber, printable } from "./format.ts";
import type { SummaryRow } from "./result-columns.ts";

/** Precision of a router's dual regret. */
export interface DualRegretBasis {
  readonly router: string;
  /** It may be too low by this much. */
  readonly gap: number;
  /** Fraction of all tokens that it is based on. */
  readonly keptFraction: number;
}

/** A command's messages about plans that missed their tolerance. */
export interface ConvergenceMessages {
  /** For routers that were meant to meet it. */
  readonly warnings: readonly string[];
  /** For routers whose settings ask for less. */
  readonly notes: readonly string[];
}

/** Returns one line per router whose plans missed their tolerance, so that it never passes unnoticed. */
export function convergenceMessages(
  rows: readonly SummaryRow[],
  routers: readonly RouterChoice[],
): ConvergenceMessages {
  const missed = rows.filter(({ summary }) => (summary.notConvergedSteps ?? 0) > 0);
  const isMeant = ({ source }: SummaryRow) => stopsEarly(routers.find(({ name }) => name === source.router)!);
  const line = ({ source, summary }: SummaryRow) =>
    `${printable(source.router)}: on ${summary.notConvergedSteps} of ${summary.solverSteps} steps the plan missed its tolerance`;
  return {
    warnings: missed
      .filter((row) => !isMeant(row))
      .map((row) => `${line(row)}; steps.csv has the error as marginal_error; raise maxIterations to lower it`),
    notes: missed.filter(isMeant).map((row) => `${line(row)}, as its settings request (marginal_error in steps.csv)`),
  };
}

/**
 * Returns what a scenario may not mean as it is written: one line if its file may not hold logits, and one per router whose
 * options are allowed but not as published.
 */
export function adviceWarnings({ routers, warnings = [] }: Pick<Scenario, "routers" | "warnings">): string[] {
  const advices = routers.flatMap((router) => {
    const advice = routerKindOf(router).advice?.(router.options, router.scores) ?? null;
    return advice === null ? [] : [`${printable(router.name)}: ${advice}`];
  });
  return [...warnings, ...advices];
}

/**
 * Whether a router is told to stop before it can meet its tolerance: after fewer iterations than its kind's default, or
 * at a tolerance of 0.
 */
export function stopsEarly(router: RouterChoice): boolean {
  const { maxIterations, tolerance } = router.options;
  if (tolerance === 0) return true;
  const standard: unknown = routerKindOf(router).options.parse({}).maxIterations;
  return typeof maxIterations === "number" && typeof standard === "number" && maxIterations < standard;
}

/** What a warning needs to know about a router whose regret was measured on a sample of the steps. */
export interface SampledRegret {
  readonly router: string;
  readonly steps: number;
  /** Steps on which the router's transport solver ran. */
  readonly solved: number;
  /** Steps with regret, and those of them on which the solver ran. */
  readonly measured: number;
  readonly solvedWithRegret: number;
}

/**
 * Returns warnings about regret measured on a sample: one line if the sample is a single step, which has no standard
 * error; otherwise one per router that solves on only some steps and whose sample misses the steps with or without a
 * solver. Then neither the regret nor its standard error shows what the missing kind of step costs.
 */
export function sampledRegretWarnings(routers: readonly SampledRegret[]): string[] {
  const single = routers.find(({ steps, measured }) => measured === 1 && steps > 1);
  if (single !== undefined) {
    return [
      `regret was measured on one of ${counted(single.steps, "step")}, so regret_mean has no standard error; ` +
        "use a smaller regret.every to get one",
    ];
  }
  return routers.flatMap(({ router, steps, solved, measured, solvedWithRegret }) => {
    if (measured === 0 || measured === steps || solved === 0 || solved === steps) return [];
    const missing = solvedWithRegret === 0 ? "with" : solvedWithRegret === measured ? "without" : null;
    if (missing === null) return [];
    const plan = `its plan ran on ${solved} of ${counted(steps, "step")}`;
    return [
      `${printable(router)}: ${plan}, but regret was measured on no step ${missing} a plan, so regret_mean and regret_se ` +
        "do not show what those steps cost; use a smaller regret.every",
    ];
  });
}

/** Returns one line per router whose dual regret is based on a sample or is not exact. */
export function dualRegretWarnings(bases: readonly DualRegretBasis[]): string[] {
  return bases.flatMap((basis) => {
    const router = printable(basis.router);
    const lines: string[] = [];
    if (isSampled(basis)) lines.push(`${router}: dual regret is based on a sample, ${percent(basis)} of the tokens`);
    if (isUnsure(basis)) lines.push(`${router}: dual regret may be up to ${basis.gap.toPrecision(2)} too low`);
    return lines;
  });
}

/** Does the same for the cells of a sweep, in at most one line each; `bases` are those of all rows. */
export function sweepDualRegretWarnings(bases: readonly DualRegretBasis[]): string[] {
  const lines: string[] = [];
  const sampled = bases.filter(isSampled);
  if (sampled.length > 0) {
    const smallest = sampled.reduce((least, basis) => (basis.keptFraction < least.keptFraction ? basis : least));
    lines.push(
      `dual regret is based on a sample in ${counted(sampled.length, "row")} of summary.csv, at least ${percent(smallest)} of the tokens (keptFraction in each cell's run.json)`,
    );
  }
  const unsure = bases.filter(isUnsure);
  if (unsure.length > 0) {
    const largest = Math.max(...unsure.map(({ gap }) => gap));
    lines.push(
      `dual regret may be up to ${largest.toPrecision(2)} too low in ${counted(unsure.length, "row")} of summary.csv (gap in each cell's run.json)`,
    );
  }
  return lines;
}

function isSampled({ keptFraction }: DualRegretBasis): boolean {
  return keptFraction < 1;
}

function isUnsure({ gap }: DualRegretBasis): boolean {
  return gap > hindsightTolerance;
}

function percent({ keptFraction }: DualRegretBasis): string {
  return `${formatNumber(100 * keptFraction)} %`;
}

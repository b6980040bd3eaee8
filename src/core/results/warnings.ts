import { hindsightTolerance } from "../metrics/dual-regret.ts";
import { routerKindOf } from "../routers/index.ts";
import type { RouterChoice } from "../scenario/scenario.ts";
import { counted } from "../words.ts";
import { formatNumber, printable } from "./format.ts";
import type { SummaryRow } from "./result-columns.ts";

/** How sure a router's dual regret is. */
export interface DualRegretBasis {
  readonly router: string;
  /** It may be this much too low. */
  readonly gap: number;
  /** Tokens it rests on, of all tokens. */
  readonly keptFraction: number;
}

/** What a command says about plans that missed their tolerance. */
export interface ConvergenceMessages {
  /** Of routers that were meant to meet it. */
  readonly warnings: readonly string[];
  /** Of routers whose settings ask for less. */
  readonly notes: readonly string[];
}

/** One line for each router whose plans missed their tolerance, so that it is never silent. */
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
      .map((row) => `${line(row)}; steps.csv has the error as marginal_error, and a larger maxIterations lowers it`),
    notes: missed.filter(isMeant).map((row) => `${line(row)}, as its settings ask for (marginal_error in steps.csv)`),
  };
}

/**
 * Whether a router is told to stop before it can meet its tolerance: after fewer iterations than its kind makes by
 * default, or at a tolerance of 0.
 */
export function stopsEarly(router: RouterChoice): boolean {
  const { maxIterations, tolerance } = router.options;
  if (tolerance === 0) return true;
  const standard: unknown = routerKindOf(router).options.parse({}).maxIterations;
  return typeof maxIterations === "number" && typeof standard === "number" && maxIterations < standard;
}

/** What a warning needs to know of a router whose regret was measured on a sample of the steps. */
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
 * What a run says of regret measured on a sample: one line if that is a single step, which has no standard error; else one
 * for each router that solves on some steps only and whose sample holds no step of one of the two sorts. It then cannot
 * show what the other sort costs, and neither can its standard error.
 */
export function sampledRegretWarnings(routers: readonly SampledRegret[]): string[] {
  const single = routers.find(({ steps, measured }) => measured === 1 && steps > 1);
  if (single !== undefined) {
    return [
      `regret was measured on one of ${counted(single.steps, "step")}, so that regret_mean has no standard error; ` +
        "a smaller regret.every gives it one",
    ];
  }
  return routers.flatMap(({ router, steps, solved, measured, solvedWithRegret }) => {
    if (measured === 0 || measured === steps || solved === 0 || solved === steps) return [];
    const missing = solvedWithRegret === 0 ? "with" : solvedWithRegret === measured ? "without" : null;
    if (missing === null) return [];
    const plan = `its plan ran on ${solved} of ${counted(steps, "step")}`;
    return [
      `${printable(router)}: ${plan}, and regret was measured on none ${missing} a plan, so that regret_mean and regret_se ` +
        "do not show what those steps cost; a smaller regret.every does",
    ];
  });
}

/** One line for each router whose dual regret rests on a sample or is not exact. */
export function dualRegretWarnings(bases: readonly DualRegretBasis[]): string[] {
  return bases.flatMap((basis) => {
    const router = printable(basis.router);
    const lines: string[] = [];
    if (isSampled(basis)) lines.push(`${router}: dual regret rests on a sample, ${percent(basis)} of the tokens`);
    if (isUnsure(basis)) lines.push(`${router}: dual regret may be up to ${basis.gap.toPrecision(2)} too low`);
    return lines;
  });
}

/** The same for the cells of a sweep, in at most a line for each of the two; `bases` are those of all rows. */
export function sweepDualRegretWarnings(bases: readonly DualRegretBasis[]): string[] {
  const lines: string[] = [];
  const sampled = bases.filter(isSampled);
  if (sampled.length > 0) {
    const smallest = sampled.reduce((least, basis) => (basis.keptFraction < least.keptFraction ? basis : least));
    lines.push(
      `dual regret rests on a sample in ${counted(sampled.length, "row")} of summary.csv, at least ${percent(smallest)} of the tokens (keptFraction in each cell's run.json)`,
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

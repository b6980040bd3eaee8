import { counted } from "../core/counted.ts";
import { hindsightTolerance } from "../metrics/dual-regret.ts";
import { printable } from "./printable.ts";
import type { SummaryRow } from "./result-columns.ts";
import { formatNumber } from "./table.ts";

/** How sure a router's dual regret is. */
export interface DualRegretBasis {
  readonly router: string;
  /** It may be this much too low. */
  readonly gap: number;
  /** Tokens it rests on, of all tokens. */
  readonly keptFraction: number;
}

/** One line for each router whose plans missed their tolerance, so that it is never silent. */
export function convergenceWarnings(rows: readonly SummaryRow[]): string[] {
  return rows
    .filter(({ summary }) => (summary.notConvergedSteps ?? 0) > 0)
    .map(
      ({ source, summary }) =>
        `${printable(source.router)}: on ${summary.notConvergedSteps} of ${summary.solverSteps} steps the plan missed its tolerance (marginal_error in steps.csv)`,
    );
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

import { counted } from "../core/counted.ts";
import { escapeUnprintable } from "../core/escape-unprintable.ts";
import { formatRecommendation } from "../report/recommendation-text.ts";
import { dualRegretBases } from "../report/results/dual-regret-bases.ts";
import { priceOf } from "../report/results/price.ts";
import { recommend } from "../report/results/recommendation.ts";
import { numberOf } from "../report/results/result-table.ts";
import type { Results } from "../report/results/results.ts";
import { routeTimes } from "../report/results/route-time.ts";
import { metricOf, type Variant, variantsOf } from "../report/results/variants.ts";
import { variantObject } from "../report/variant-object.ts";
import { formatVariantTable } from "../report/variant-table.ts";
import { sweepDualRegretWarnings } from "../report/warnings.ts";
import { formatOverride } from "../scenario/format-override.ts";
import type { SweepCell } from "../scenario/sweep.ts";
import { shellWord } from "./shell-word.ts";
import type { TableStyle } from "./terminal.ts";

/** What a sweep came to, as the command tells it. */
export interface SweepOutcome {
  warnings(): string[];
  /** The variants, their table and what is recommended, for people. */
  text(style: TableStyle): string;
  /** The same for scripts. */
  object(): object;
}

/**
 * Weighs the variants of `results`, which are those of `cells`, and recommends the cheapest that keeps `maxVioLimit`.
 *
 * @param origin the scenario's file and the changes to it that all cells have
 */
export function sweepOutcome(
  results: Results,
  cells: readonly SweepCell[],
  maxVioLimit: number,
  origin: { readonly scenarioFile: string; readonly set: readonly string[] },
): SweepOutcome {
  const variants = variantsOf(results);
  const routeMs = routeTimes(results, variants);
  const price = priceOf(results, variants);
  const candidates = variants.map((variant, position) => ({
    maxVio: metricOf(results, variant, "max_vio_batch_mean")!,
    price: price.intervals[position],
    routeMs: routeMs[position],
  }));
  const recommendation = recommend(candidates, maxVioLimit);
  const cellOf = ({ members }: Variant) => cells[results.runs.indexOf(members[0].run)];

  /** What `--set` takes to make the variant's scenario of the file. */
  function setWords(variant: Variant): string[] {
    const { parameters, scenario } = cellOf(variant);
    return [...origin.set, ...parameters.map(({ path, value }) => formatOverride(path, value, scenario))];
  }

  function commandOf(variant: Variant): string {
    const words = setWords(variant);
    const command = ["moesim", "run", origin.scenarioFile, ...(words.length === 0 ? [] : ["--set", ...words])];
    return command.map((word) => shellWord(escapeUnprintable(word))).join(" ");
  }

  return {
    warnings() {
      const { summary } = results;
      const missed = summary.rows.filter((_, row) => (numberOf(summary, row, "not_converged_steps") ?? 0) > 0).length;
      return [
        ...(missed > 0 ? [`plans missed their tolerance in ${missed} rows of summary.csv (not_converged_steps)`] : []),
        ...sweepDualRegretWarnings(dualRegretBases(results)),
      ];
    },
    text(style) {
      const seeds = Math.max(...variants.map(({ members }) => members.length));
      const over =
        seeds === 1 ? "one seed" : `${seeds} seeds, means ± half the width of their 95 % confidence intervals`;
      const all = variants.map((variant, position) => ({ variant, candidate: candidates[position] }));
      return [
        `${counted(cells.length, "cell")}, ${counted(variants.length, "variant")} over ${over}\n`,
        `${formatVariantTable(results, variants, routeMs, style)}\n`,
        ...formatRecommendation(all, recommendation, maxVioLimit, price.name, results.parameters, commandOf),
      ].join("\n");
    },
    object() {
      const { pareto, cheapest, nearest } = recommendation;
      const entry = (position: number) => ({
        variant: variants[position].name,
        set: setWords(variants[position]),
      });
      return {
        variants: variants.map((variant, position) => {
          const parameters = cellOf(variant).parameters.map(({ path, value }) => [path, value] as const);
          return variantObject(results, variant, Object.fromEntries(parameters), routeMs[position]);
        }),
        pareto: pareto.map((position) => variants[position].name),
        max_vio_limit: maxVioLimit,
        cheapest: cheapest === null ? null : entry(cheapest),
        nearest: entry(nearest),
      };
    },
  };
}

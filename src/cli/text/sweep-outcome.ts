import { recommendationLines, weighSweep } from "../../core/results/recommendation.ts";
import { cellOf as cellOfTable, numberOf, type Results } from "../../core/results/results.ts";
import { routeTimes, type Variant, variantsOf } from "../../core/results/variants.ts";
import { bestSentences, verdictOf } from "../../core/results/verdict.ts";
import { stopsEarly, sweepDualRegretWarnings } from "../../core/results/warnings.ts";
import { formatOverride } from "../../core/scenario/overrides.ts";
import type { SweepCell } from "../../core/scenario/sweep.ts";
import { counted } from "../../core/words.ts";
import { columnsOf, type TableStyle, wrapLines } from "../terminal.ts";
import { formatVariantTable, variantObject } from "./results-table.ts";
import { leftOutSentence } from "./table.ts";

/** The scenario file of a sweep, and the changes to it that all cells share. */
export interface SweepOrigin {
  readonly scenarioFile: string;
  readonly set: readonly string[];
  /** Files of plugins. */
  readonly plugin?: readonly string[] | undefined;
}

/** The outcome of a sweep, as the command prints it. */
export interface SweepOutcome {
  readonly warnings: readonly string[];
  /** Returns the variants, their table and the recommendation, for people. */
  text(style: TableStyle): string;
  /** Returns the same for scripts. */
  object(): object;
}

/** Returns the command line that runs `cell` again, with the scenario's own seed. */
export function rerunWords({ scenarioFile, set, plugin = [] }: SweepOrigin, cell: SweepCell): string[] {
  const changes = [...set, ...setWords(cell)];
  const plugins = plugin.flatMap((file) => ["--plugin", file]);
  return ["moesim", "run", scenarioFile, ...plugins, ...(changes.length === 0 ? [] : ["--set", ...changes])];
}

/** Returns the arguments of `--set` that turn the swept scenario into that of `cell`. */
function setWords({ parameters, scenario }: SweepCell): string[] {
  return parameters.map(({ path, value }) => formatOverride(path, value, scenario));
}

/** Compares the variants of `results`, which belong to `cells`, and recommends the cheapest within `maxVioLimit`. */
export function sweepOutcome(
  results: Results,
  cells: readonly SweepCell[],
  maxVioLimit: number,
  origin: SweepOrigin,
): SweepOutcome {
  const variants = variantsOf(results);
  const routeMs = routeTimes(results, variants);
  const cellOf = ({ members }: Variant) => cells[results.runs.indexOf(members[0].run)];
  const weighed = weighSweep(results, maxVioLimit, (variant) => rerunWords(origin, cellOf(variant)));

  /** Number of rows whose plans missed their tolerance; `meant` if the router's settings intend that. */
  const missed = { unmeant: 0, meant: 0 };
  for (const [cell, { rows }] of results.runs.entries()) {
    for (const row of rows) {
      if ((numberOf(results.summary, row, "not_converged_steps") ?? 0) === 0) continue;
      const name = cellOfTable(results.summary, row, "router");
      const router = cells[cell].scenario.routers.find((one) => one.name === name)!;
      missed[stopsEarly(router) ? "meant" : "unmeant"] += 1;
    }
  }
  const missedIn = (rows: number) =>
    `plans missed their tolerance in ${counted(rows, "row")} of summary.csv (not_converged_steps)`;

  return {
    warnings: [
      ...(missed.unmeant > 0 ? [missedIn(missed.unmeant)] : []),
      ...sweepDualRegretWarnings(results.runs.flatMap(({ files }) => files.dualRegret())),
    ],
    text(style) {
      const seeds = Math.max(...variants.map(({ members }) => members.length));
      const over =
        seeds === 1 ? "one seed" : `${seeds} seeds, means ± half the width of their 95 % confidence intervals`;
      const table = formatVariantTable(results, variants, routeMs, style);
      const leftOut = leftOutSentence(table);
      const verdict = verdictOf(results, variants);
      const columns = columnsOf(process.stdout);
      return [
        `${counted(cells.length, "cell")}, ${counted(variants.length, "variant")} over ${over}\n`,
        table.text,
        ...(leftOut === null ? [] : [wrapLines(leftOut, columns)]),
        "",
        ...(verdict === null ? [] : bestSentences(verdict).map((sentence) => wrapLines(sentence, columns))),
        ...(weighed === null
          ? ["No variant routed a token, so none is recommended."]
          : recommendationLines(weighed.text)),
        ...(missed.meant > 0 ? [wrapLines(`Note: ${missedIn(missed.meant)}, as settings ask for.`, columns)] : []),
      ].join("\n");
    },
    object() {
      const entry = (position: number) => {
        const variant = weighed!.variants[position];
        return { variant: variant.name, set: [...origin.set, ...setWords(cellOf(variant))] };
      };
      const { pareto = [], cheapest = null, nearest = null } = weighed?.recommendation ?? {};
      return {
        variants: variants.map((variant, position) => {
          const parameters = cellOf(variant).parameters.map(({ path, value }) => [path, value] as const);
          return variantObject(results, variant, Object.fromEntries(parameters), routeMs[position]);
        }),
        pareto: pareto.map((position) => weighed!.variants[position].name),
        max_vio_limit: maxVioLimit,
        cheapest: cheapest === null ? null : entry(cheapest),
        nearest: nearest === null ? null : entry(nearest),
      };
    },
  };
}

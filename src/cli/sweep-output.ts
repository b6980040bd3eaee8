import { printable } from "../core/results/format.ts";
import type { Results } from "../core/results/results.ts";
import { hasLayers } from "../core/scenario/scenario.ts";
import type { SweepCell } from "../core/scenario/sweep.ts";
import { escapeUnprintable } from "../core/words.ts";
import { filesOfSweepWith } from "../node/files/results-folder.ts";
import { printJson, tableStyle, warn, writeLines } from "./terminal.ts";
import type { SweepOrigin } from "./text/sweep-outcome.ts";

/** A sweep's results as `sweep` and `merge` print them. */
export interface SweepOutput {
  readonly folder: string;
  readonly cells: readonly SweepCell[];
  readonly maxVioLimit: number;
  readonly origin: SweepOrigin;
  /** Describes the results that these replaced; null if none. */
  readonly replaced: string | null;
}

/** Prints the variants of a sweep, the recommendation and where the files are, and warnings on standard error. */
export async function printSweep(
  results: Results,
  { folder, cells, maxVioLimit, origin, replaced }: SweepOutput,
  { json, quiet, wide }: { readonly json: boolean; readonly quiet: boolean; readonly wide: boolean },
): Promise<void> {
  const { sweepOutcome } = await import("./text/sweep-outcome.ts");
  const { name } = results;
  const files = filesOfSweepWith(cells.some(({ scenario }) => hasLayers(scenario)));
  const outcome = sweepOutcome(results, cells, maxVioLimit, origin);
  if (json) {
    printJson({ name, out: folder, files, cells: cells.length, ...outcome.object() });
  } else if (!quiet) {
    process.stdout.write(`${printable(name)}: ${outcome.text(tableStyle(wide))}\n\n`);
    writeLines(
      process.stdout,
      `Written to ${escapeUnprintable(folder)}: ${files.join(", ")}, and each cell's files in cells`,
    );
    if (replaced !== null) writeLines(process.stdout, `Replaced there: ${replaced}`);
  }
  const ofFiles = new Set(cells.flatMap(({ scenario }) => scenario.warnings ?? []));
  for (const warning of [...ofFiles, ...outcome.warnings]) warn(warning);
}

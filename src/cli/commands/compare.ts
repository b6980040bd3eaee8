import { writeFileSync } from "node:fs";
import type { CommandModule } from "yargs";
import { InputError } from "../../core/input-error.ts";
import { type MetricColumn, metricColumns } from "../../core/metrics/catalogue.ts";
import type { FolderGpuLoads } from "../../core/pictures/makers/gpu-loads.ts";
import { printable } from "../../core/results/format.ts";
import type { Results } from "../../core/results/results.ts";
import { suggestion } from "../../core/suggestion.ts";
import { counted } from "../../core/words.ts";
import { openResults } from "../../node/files/read-results.ts";
import { type CommonArguments, optionGroups, outOption } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { checkTarget, filesOfResults, withOutputFile } from "../output.ts";
import { colorsOf, printJson } from "../terminal.ts";
import { formatComparison } from "../text/compare-text.ts";

interface CompareArguments extends CommonArguments {
  folders: string[];
  metric?: string[] | undefined;
  all?: boolean | undefined;
  html?: string | undefined;
}

export const compareCommand: CommandModule<CommonArguments, CompareArguments> = {
  builder: (yargs) =>
    yargs
      .positional("folders", {
        type: "string",
        array: true,
        demandOption: true,
        describe: "Folders of results; the first is the reference",
      })
      .option("metric", {
        type: "string",
        group: optionGroups.output,
        array: true,
        requiresArg: true,
        describe: "Show these columns of summary.csv",
        defaultDescription: "the main metrics",
      })
      .option("all", { type: "boolean", group: optionGroups.output, describe: "Show all metrics" })
      .conflicts("metric", "all")
      .option("html", { ...outOption, describe: "Also write an HTML page with pictures" })
      .example(
        examples({
          "Compare before and after a change": "$0 compare results/before results/after",
          "Compare two metrics of three results": "$0 compare results/a results/b results/c --metric churn load_gini",
          "Also write a page with pictures": "$0 compare results/before results/after --html compare.html",
        }),
      )
      .epilogue(epilogue()),
  handler: compare,
};

async function compare({ folders, metric, all, html, json, quiet }: CompareArguments): Promise<void> {
  if (folders.length < 2)
    throw new InputError(`compare: only ${counted(folders.length, "folder")} given; name at least two`);
  const columns = chooseMetrics(metric, all === true);
  if (html !== undefined) checkTarget("html", html, folders.flatMap(filesOfResults));
  const { compareResults } = await import("../../node/compare-results.ts");
  const opened = folders.map((folder) => openResults(folder));
  const comparison = compareResults(opened, columns);
  if (html !== undefined) {
    const { renderComparison } = await import("../../page/comparison-page.tsx");
    const gpuLoads = await Promise.all(opened.map((results, i) => gpuLoadsOf(results, comparison.folders[i].name)));
    await withOutputFile(html, async (out) => writeFileSync(out, renderComparison(comparison, gpuLoads)));
  }
  if (json) printJson(comparison);
  else if (!quiet) {
    const { green, red } = colorsOf(process.stdout);
    process.stdout.write(formatComparison(comparison, { better: green, worse: red }, metric !== undefined));
  }
}

/** Returns the loads of GPUs of a run; a sweep has those of its first cell. */
async function gpuLoadsOf({ runs }: Results, name: string): Promise<FolderGpuLoads> {
  return { name, routers: await runs[0].files.gpuLoads() };
}

/** Returns the metrics in `names`, in that order; by default the main ones, or all. Throws `InputError` for an unknown name. */
function chooseMetrics(names: readonly string[] | undefined, all: boolean): readonly MetricColumn[] {
  if (names === undefined) return metricColumns.filter(({ isMain }) => all || isMain);
  return Array.from(new Set(names), (name) => {
    const found = metricColumns.find(({ column }) => column === name);
    if (found !== undefined) return found;
    const known = metricColumns.map(({ column }) => column);
    throw new InputError(
      `--metric ${printable(name)}: summary.csv has no such metric.${suggestion(name, known)} Allowed: ${known.join(", ")}.`,
    );
  });
}

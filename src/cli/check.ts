import { randomUUID } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import type { CommandModule } from "yargs";
import { escapeUnprintable } from "../core/escape-unprintable.ts";
import { InputError } from "../core/input-error.ts";
import { acceptResults, isOfCell, planAcceptance } from "../report/check/accept-results.ts";
import { annotationsOf } from "../report/check/annotations.ts";
import { checkAsJson } from "../report/check/check-json.ts";
import type { ResultCheck } from "../report/check/check-result.ts";
import { bytesToCheck, checkResults } from "../report/check/check-results.ts";
import { formatCheck, formatVerdict } from "../report/check/check-text.ts";
import { defaultTolerance, parseTolerances } from "../report/check/tolerances.ts";
import { checkIsResults } from "../report/results/results.ts";
import { CheckFailed } from "./check-failed.ts";
import { type CommonArguments, optionGroups, outOption } from "./common-options.ts";
import { epilogue, examples } from "./help.ts";
import { checkTarget, filesOfResults } from "./kept-files.ts";
import { createProgress } from "./progress.ts";
import { columnsOf, printJson } from "./terminal.ts";
import { withOutputFile } from "./with-output-file.ts";
import { withOutputFolder } from "./with-output-folder.ts";

interface CheckArguments extends CommonArguments {
  folder: string;
  baseline: string;
  tolerance: number;
  metric: string[];
  update: boolean;
  junit?: string | undefined;
  github?: boolean | undefined;
}

export const checkCommand: CommandModule<CommonArguments, CheckArguments> = {
  command: "check <folder>",
  describe: "Compare results with a baseline, for regression tests; exit with 1 when they differ",
  builder: (yargs) =>
    yargs
      .positional("folder", { type: "string", demandOption: true, describe: "Results of run, sweep or measure" })
      .option("baseline", {
        type: "string",
        group: optionGroups.input,
        demandOption: true,
        requiresArg: true,
        describe: "Results that are known to be good; the files it holds are compared",
      })
      .option("tolerance", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        default: defaultTolerance,
        describe: "Numbers agree when they are this near, relative to the baseline's or to 1, whichever is larger",
      })
      .option("metric", {
        type: "string",
        group: optionGroups.input,
        array: true,
        requiresArg: true,
        default: [] as string[],
        describe: "name=tolerance: the tolerance of one column, e.g. max_vio=0.01",
      })
      .option("update", {
        type: "boolean",
        group: optionGroups.output,
        default: false,
        describe:
          "Accept the results: put the files that the baseline has, and run.json, in its place, or make it; a timing.csv in it is removed, since it is never the same twice and would tell of other results",
      })
      .option("junit", { ...outOption, describe: "Also write a JUnit XML report to this file" })
      .option("github", {
        type: "boolean",
        group: optionGroups.output,
        describe: "Print annotations for GitHub workflows",
        defaultDescription: "in one",
      })
      .example(
        examples({
          "Compare all numbers, to a millionth": "$0 check results/quickstart --baseline baseline",
          "Let two columns move more than the others":
            "$0 check results/a --baseline baseline --metric max_vio=0.01 score=0.001",
          "Accept the results as the new baseline": "$0 check results/quickstart --baseline baseline --update",
          "Write a report that CI systems show, too":
            "$0 check results/quickstart --baseline baseline --junit check.xml",
        }),
      )
      .epilogue(epilogue()),
  handler: check,
};

async function check(options: CheckArguments): Promise<void> {
  const { folder, baseline, junit, quiet } = options;
  const tolerances = parseTolerances(options.tolerance, options.metric);
  checkConflicts(options);
  if (options.update) return update(options);
  if (junit !== undefined) checkTarget("junit", junit, [folder, baseline].flatMap(filesOfResults));
  checkIsResults(baseline);

  const bytesPerMegabyte = 1e6;
  const progress = createProgress(Math.ceil(bytesToCheck(baseline) / bytesPerMegabyte), "MB", quiet);
  let bytes = 0;
  const result = await checkResults(folder, baseline, tolerances, (more) => {
    bytes += more;
    progress.update(Math.round(bytes / bytesPerMegabyte));
  }).finally(() => progress.stop());

  if (junit !== undefined) {
    const { checkAsJunit } = await import("../report/check/check-junit.ts");
    await withOutputFile(junit, async (file) => writeFileSync(file, checkAsJunit(result)));
  }
  const verdict = formatVerdict(result, tolerances);
  if (options.json) printJson(checkAsJson(result));
  else {
    const isGithub = options.github ?? process.env.GITHUB_ACTIONS === "true";
    const text = quiet ? "" : formatCheck(result, tolerances, columnsOf(process.stdout));
    if (isGithub && !result.equal) await printForGithub(result, baseline, text);
    else process.stdout.write(text);
  }
  if (result.equal) return;
  if (quiet) process.stderr.write(`${verdict}\n`);
  throw new CheckFailed(verdict);
}

function checkConflicts({ update, junit, github, json }: CheckArguments): void {
  if (json && github === true) throw new InputError("--json and --github both print to standard output; name one");
  if (update && (junit !== undefined || json || github === true)) {
    throw new InputError(
      "--update accepts the results without comparing them; it goes without --junit, --github, --json",
    );
  }
}

/** Prints `text` so that nothing in it is taken for a workflow command, and then the annotations. */
async function printForGithub(result: ResultCheck, baseline: string, text: string): Promise<void> {
  const { error } = await import("@actions/core");
  const token = randomUUID();
  process.stdout.write(`::stop-commands::${token}\n${text}::${token}::\n`);
  for (const { title, message, file } of annotationsOf(result, baseline)) error(message, { title, file });
}

async function update({ folder, baseline, quiet }: CheckArguments): Promise<void> {
  const isNew = !existsSync(baseline);
  const acceptance = planAcceptance(folder, baseline);
  await withOutputFolder(
    baseline,
    async (partial) => acceptResults(folder, baseline, partial, acceptance),
    () => acceptance.surplus.filter((file) => !isOfCell(file)),
  );
  if (quiet) return;
  const { files, surplus } = acceptance;
  const ofRun = files.filter((file) => !isOfCell(file));
  const inCells = files.length - ofRun.length;
  process.stdout.write(
    `${isNew ? "made" : "updated"} ${escapeUnprintable(baseline)}: ${ofRun.join(", ")}` +
      `${inCells === 0 ? "" : `, and ${inCells} files of cells`}` +
      `${surplus.length === 0 ? "" : `; removed ${surplus.length} of the earlier results`}\n`,
  );
}

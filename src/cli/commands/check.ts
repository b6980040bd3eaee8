import { randomUUID } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import type { CommandModule } from "yargs";
import { escapeUnprintable } from "../../core/escape-unprintable.ts";
import { InputError } from "../../core/input-error.ts";
import { isOfCell, planAcceptance, stageAcceptance } from "../../node/check/accept-results.ts";
import { bytesToCheck, type CheckRules, checkResults } from "../../node/check/check-results.ts";
import { readGate } from "../../node/check/gate.ts";
import { defaultTolerance, parseTolerances } from "../../node/check/tolerances.ts";
import { checkIsResults } from "../../node/files/results.ts";
import { CheckFailed } from "../check-failed.ts";
import { type CommonArguments, optionGroups, outOption } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { checkTarget, filesOfResults } from "../kept-files.ts";
import { createProgress } from "../progress.ts";
import { columnsOf, printJson } from "../terminal.ts";
import {
  type Annotation,
  annotationsOf,
  checkAsJson,
  checkAsJunit,
  formatAnnotation,
  formatCheck,
  formatVerdict,
} from "../text/check-output.ts";
import { withOutputFile, withOutputFolder } from "../with-output.ts";

const failOnChoices = ["worse", "different"] as const;

interface CheckArguments extends CommonArguments {
  folder: string;
  baseline?: string | undefined;
  "fail-on"?: CheckRules["failOn"] | undefined;
  tolerance?: string | undefined;
  metric: string[];
  gate?: string | undefined;
  strict: boolean;
  update: boolean;
  junit?: string | undefined;
  github?: boolean | undefined;
}

export const checkCommand: CommandModule<CommonArguments, CheckArguments> = {
  builder: (yargs) =>
    yargs
      .positional("folder", { type: "string", demandOption: true, describe: "Results of run, sweep or measure" })
      .option("baseline", {
        type: "string",
        group: optionGroups.input,
        requiresArg: true,
        describe: "Results that are known to be good",
      })
      .option("fail-on", {
        choices: failOnChoices,
        group: optionGroups.input,
        requiresArg: true,
        describe:
          "worse: metrics of summary.csv, means over seeds, that are worse; different: any cell of any file of the baseline that differs",
        defaultDescription: "worse",
      })
      .option("tolerance", {
        type: "string",
        group: optionGroups.input,
        requiresArg: true,
        describe:
          "Allowed change: absolute (0.01), relative to the baseline (5%) or in standard errors over seeds (2se), the last two with a floor if wanted (5%,0.001)",
        defaultDescription: defaultTolerance,
      })
      .option("metric", {
        type: "string",
        group: optionGroups.input,
        array: true,
        requiresArg: true,
        default: [] as string[],
        describe: "name=tolerance: the tolerance of one column, e.g. score=2%",
      })
      .option("gate", {
        type: "string",
        group: optionGroups.input,
        requiresArg: true,
        describe:
          "YAML list of { metric, router, layer, max | min | worse-by }; with limits alone it needs no baseline",
      })
      .option("strict", {
        type: "boolean",
        group: optionGroups.input,
        default: false,
        describe: "Also fail if there are rows or values that the baseline lacks",
      })
      .option("update", {
        type: "boolean",
        group: optionGroups.output,
        default: false,
        describe:
          "Accept the results as the baseline: replace its files and run.json, or make it. A timing.csv in it is removed, because times differ on every run",
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
          "Fail if a metric is worse by more than 5 %":
            "$0 check results/quickstart --baseline baseline --tolerance 5%",
          "Allow two metrics more than the others":
            "$0 check results/a --baseline old --metric max_vio_global=0.01 score=2%",
          "Fail if any number of any file differs": "$0 check results/a --baseline baseline --fail-on different",
          "Keep limits without a baseline": "$0 check results/a --gate gate.yaml",
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
  checkConflicts(options);
  const tolerances = parseTolerances(options.tolerance ?? defaultTolerance, options.metric);
  if (options.update) return update(folder, baseline!, quiet);
  const folders = baseline === undefined ? [folder] : [folder, baseline];
  const inputs = folders.flatMap(filesOfResults);
  const { gate: gateFile } = options;
  if (gateFile !== undefined) inputs.push({ name: "--gate", file: gateFile });
  if (junit !== undefined) checkTarget("junit", junit, inputs);
  for (const one of folders) checkIsResults(one);
  const rules: CheckRules = {
    failOn: options["fail-on"] ?? "worse",
    tolerances,
    isStrict: options.strict,
    gate: gateFile === undefined ? null : readGate(gateFile),
  };

  const bytesPerMegabyte = 1e6;
  const all = baseline === undefined ? 0 : bytesToCheck(baseline, rules.failOn);
  const progress = createProgress(Math.ceil(all / bytesPerMegabyte), "MB", quiet);
  let bytes = 0;
  const result = await checkResults(folder, baseline ?? null, rules, (more) => {
    bytes += more;
    progress.update(Math.round(bytes / bytesPerMegabyte));
  }).finally(() => progress.stop());

  if (junit !== undefined) {
    const report = await checkAsJunit(result);
    await withOutputFile(junit, async (file) => writeFileSync(file, report));
  }
  const verdict = formatVerdict(result, tolerances);
  if (options.json) printJson(checkAsJson(result));
  else {
    const isGithub = options.github ?? process.env.GITHUB_ACTIONS === "true";
    const text = quiet ? "" : formatCheck(result, tolerances, columnsOf(process.stdout));
    if (isGithub) printForGithub(annotationsOf(result, baseline ?? null, gateFile ?? null), text);
    else process.stdout.write(text);
  }
  if (result.passed) return;
  if (quiet) process.stderr.write(`${verdict}\n`);
  throw new CheckFailed(verdict);
}

function checkConflicts(options: CheckArguments): void {
  const { baseline, gate, update, junit, github, json, strict, metric, tolerance } = options;
  if (json && github === true) throw new InputError("--json and --github both print to standard output; name one");
  if (update && (junit !== undefined || json || github === true || gate !== undefined)) {
    throw new InputError(
      "--update accepts the results without checking them; it cannot be combined with --gate, --junit, --github or --json",
    );
  }
  if (baseline !== undefined) return;
  if (update) throw new InputError("--update: name the baseline to replace or make with --baseline");
  if (gate === undefined)
    throw new InputError("check: name what to check against: --baseline DIR, --gate FILE, or both");
  const given = { "fail-on": options["fail-on"], tolerance, metric: metric.at(0), strict: strict || undefined };
  const useless = Object.entries(given).find(([, value]) => value !== undefined);
  if (useless !== undefined) throw new InputError(`--${useless[0]}: is about a comparison, and needs --baseline`);
}

/** Prints `text` so that nothing in it is taken for a workflow command, and then the annotations. */
function printForGithub(annotations: readonly Annotation[], text: string): void {
  if (annotations.length === 0) {
    process.stdout.write(text);
    return;
  }
  const token = randomUUID();
  process.stdout.write(`::stop-commands::${token}\n${text}::${token}::\n`);
  process.stdout.write(annotations.map(formatAnnotation).join(""));
}

async function update(folder: string, baseline: string, quiet: boolean): Promise<void> {
  const isNew = !existsSync(baseline);
  // Refused before anything is staged.
  planAcceptance(folder, baseline);
  let surplus: readonly string[] = [];
  const files = await withOutputFolder(
    baseline,
    async (staging) => {
      // Planned again, since another update may have come between.
      const acceptance = planAcceptance(folder, baseline);
      stageAcceptance(folder, staging.files, acceptance);
      surplus = acceptance.surplus;
      return acceptance.files;
    },
    { obsolete: () => surplus },
  );
  if (quiet) return;
  const ofRun = files.filter((file) => !isOfCell(file));
  const inCells = files.length - ofRun.length;
  process.stdout.write(
    `${isNew ? "made" : "updated"} ${escapeUnprintable(baseline)}: ${ofRun.join(", ")}` +
      `${inCells === 0 ? "" : `, and ${inCells} files of cells`}` +
      `${surplus.length === 0 ? "" : `; removed ${surplus.length} of the earlier results`}\n`,
  );
}

import { randomUUID } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import type { CommandModule } from "yargs";
import { InputError } from "../../core/input-error.ts";
import { escapeUnprintable } from "../../core/words.ts";
import { isOfCell, planAcceptance, stageAcceptance } from "../../node/check/accept-results.ts";
import { bytesToCheck, type CheckRules, checkResults } from "../../node/check/check-results.ts";
import { readGate } from "../../node/check/gate.ts";
import { defaultTolerance, parseTolerances } from "../../node/check/tolerances.ts";
import { checkIsResults, checkPluginsLoaded } from "../../node/files/read-results.ts";
import { type CommonArguments, optionGroups, outOption } from "../common-options.ts";
import { CheckFailed } from "../exit-codes.ts";
import { epilogue, examples } from "../help.ts";
import { checkTarget, filesOfResults, withOutputFile, withOutputFolder } from "../output.ts";
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
      .positional("folder", { type: "string", demandOption: true, describe: "Folder of results to check" })
      .option("baseline", {
        type: "string",
        group: optionGroups.input,
        requiresArg: true,
        describe: "Folder of results to compare with",
      })
      .option("fail-on", {
        choices: failOnChoices,
        group: optionGroups.input,
        requiresArg: true,
        describe: "worse: a mean over seeds is worse; different: any cell differs",
        defaultDescription: "worse",
      })
      .option("tolerance", {
        type: "string",
        group: optionGroups.input,
        requiresArg: true,
        describe: "Allowed change: 0.01, 5%, 2se (standard errors), 5%,0.001 (at least)",
        defaultDescription: defaultTolerance,
      })
      .option("metric", {
        type: "string",
        group: optionGroups.input,
        array: true,
        requiresArg: true,
        default: [] as string[],
        describe: "Tolerance of one column, e.g. score=2%",
      })
      .option("gate", {
        type: "string",
        group: optionGroups.input,
        requiresArg: true,
        describe: "YAML list of { metric, router, layer, max | min | worse-by }",
      })
      .option("strict", {
        type: "boolean",
        group: optionGroups.input,
        default: false,
        describe: "Also fail for rows or values that the baseline lacks",
      })
      .option("update", {
        type: "boolean",
        group: optionGroups.output,
        default: false,
        describe: "Replace the baseline, or create it; never keeps timing.csv",
      })
      .option("junit", { ...outOption, describe: "Also write a JUnit XML report" })
      .option("github", {
        type: "boolean",
        group: optionGroups.output,
        describe: "Print annotations for GitHub workflows",
        defaultDescription: "in a workflow",
      })
      .example(
        examples({
          "Fail if a metric is worse by more than 5 %":
            "$0 check results/quickstart --baseline baseline --tolerance 5%",
          "Allow more change in two metrics": "$0 check results/a --baseline old --metric max_vio_global=0.01 score=2%",
          "Fail if any number in any file differs": "$0 check results/a --baseline baseline --fail-on different",
          "Check limits without a baseline": "$0 check results/a --gate gate.yaml",
          "Accept the results as the new baseline": "$0 check results/quickstart --baseline baseline --update",
          "Also write a report for CI systems": "$0 check results/quickstart --baseline baseline --junit check.xml",
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
  for (const one of folders) {
    checkIsResults(one);
    checkPluginsLoaded(one);
  }
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
  if (json && github === true) throw new InputError("--json, --github: both print to standard output; give only one");
  if (update && (junit !== undefined || json || github === true || gate !== undefined)) {
    throw new InputError(
      "--update: accepts the results without checking them; leave out --gate, --junit, --github and --json",
    );
  }
  const rules = { "fail-on": options["fail-on"], tolerance, metric: metric.at(0), strict: strict || undefined };
  const given = Object.entries(rules).find(([, value]) => value !== undefined)?.[0];
  if (update && given !== undefined) {
    throw new InputError(`--${given}: has no effect with --update, which accepts the results without checking them`);
  }
  if (baseline !== undefined) return;
  if (update) throw new InputError("--update: no baseline given; name the one to replace or create with --baseline");
  if (gate === undefined)
    throw new InputError("check: nothing to check against; give --baseline DIR, --gate FILE or both");
  if (given !== undefined)
    throw new InputError(`--${given}: has no effect without a baseline; name one with --baseline`);
}

/** Prints `text` so that GitHub takes nothing in it for a workflow command, and then the annotations. */
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
  // Throws before anything is staged.
  planAcceptance(folder, baseline);
  let surplus: readonly string[] = [];
  const files = await withOutputFolder(
    baseline,
    async (staging) => {
      // Plans again: another update may have finished in between.
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
    `${isNew ? "created" : "updated"} ${escapeUnprintable(baseline)}: ${ofRun.join(", ")}` +
      `${inCells === 0 ? "" : `, and ${inCells} files of cells`}` +
      `${surplus.length === 0 ? "" : `; removed ${surplus.length} of the previous results`}\n`,
  );
}

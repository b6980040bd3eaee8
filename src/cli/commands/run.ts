import path from "node:path";
import { group, sum } from "d3-array";
import type { CommandModule } from "yargs";
import { formatNumber, printable } from "../../core/results/format.ts";
import { isAbsent } from "../../core/results/layers.ts";
import type { SummaryRow } from "../../core/results/result-columns.ts";
import {
  adviceWarnings,
  convergenceMessages,
  dualRegretWarnings,
  type SampledRegret,
  sampledRegretWarnings,
} from "../../core/results/warnings.ts";
import { hasLayers, type Scenario } from "../../core/scenario/scenario.ts";
import type { RouterResult } from "../../core/simulation/result.ts";
import { counted, escapeUnprintable, shellWord } from "../../core/words.ts";
import { filesOfScenario, holdsCheckpoint, type Staging } from "../../node/files/results-folder.ts";
import { writeRunRecord } from "../../node/files/write-results.ts";
import { dualRegretBases, namingFile, openInput, runRecord } from "../../node/run/run-record.ts";
import { openRunCheckpoint, type RouterProgress, type RunRow, runScenario } from "../../node/run/run-scenario.ts";
import {
  type BackendName,
  backendOption,
  type CommonArguments,
  chooseBackend,
  optionGroups,
  outOption,
  positiveInteger,
  wideOption,
} from "../common-options.ts";
import { epilogue, examples, runFiles } from "../help.ts";
import { checkKept, describeResults, filesReadBy, withResultsFolder } from "../output.ts";
import { createLiveLine } from "../progress.ts";
import {
  readOneScenario,
  recordedScenarioPositional,
  type ScenarioArguments,
  scenarioOptions,
} from "../scenario-options.ts";
import { absentSentences, layersText, printJson, sizesText, tableStyle, warn, writeLines } from "../terminal.ts";
import { affinityLines, formatRunTable, runObject } from "../text/results-table.ts";
import { leftOutSentence } from "../text/table.ts";

interface RunArguments extends CommonArguments, ScenarioArguments {
  out?: string | undefined;
  "checkpoint-every"?: number | undefined;
  resume: boolean;
  wide: boolean;
  workers: number;
  backend: BackendName;
}

export const runCommand: CommandModule<CommonArguments, RunArguments> = {
  builder: (yargs) =>
    yargs
      .positional("scenario", recordedScenarioPositional)
      .options(scenarioOptions)
      .option("out", { ...outOption, defaultDescription: "results/<scenario name>" })
      .option("checkpoint-every", {
        type: "number",
        group: optionGroups.output,
        requiresArg: true,
        describe: "Save a checkpoint every N steps, for --resume",
      })
      .option("resume", {
        type: "boolean",
        group: optionGroups.output,
        default: false,
        describe: "Resume from the last checkpoint, to the same bytes",
      })
      .option("wide", wideOption)
      .option("workers", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 1,
        describe: "Number of threads that share the routers",
      })
      .option("backend", backendOption)
      .example(
        examples({
          "Compare the scenario's routers; write results/quickstart": "$0 run scenarios/quickstart.yaml",
          "Change the scenario, and use two threads":
            "$0 run scenarios/collapse.yaml --seed 7 --set tokens=4096 --workers 2",
          "Change a parameter of one router": "$0 run my.yaml --set routers.alf-lb.updateRate=0.01 --out try",
          "Repeat a run from its record": "$0 run results/quickstart/run.json --out again",
          "Save checkpoints": "$0 run my.yaml --checkpoint-every 100",
          "Resume after an interruption": "$0 run my.yaml --resume",
          "Use the summary in a script": "$0 run my.yaml --json | jq '.routers[].max_vio_global'",
        }),
      )
      .epilogue(epilogue(runFiles)),
  handler: run,
};

async function run(options: RunArguments): Promise<void> {
  const workers = positiveInteger("workers", options.workers);
  const { "checkpoint-every": wantedEvery = null } = options;
  const every = wantedEvery === null ? null : positiveInteger("checkpoint-every", wantedEvery);
  const backend = await chooseBackend(options.backend);
  const { scenario, origin, sweepSize } = await readOneScenario(options);

  const folder = options.out ?? path.join("results", scenario.name);
  checkKept(folder, await filesReadBy(options.scenario, [scenario]));
  const replaced = options.resume ? null : describeResults(folder);
  const { onProgress, stepsDone, stop } = createRunProgress(scenario, options.quiet);
  const start = new Date();
  const work = async (staging: Staging) => {
    const { files } = staging;
    if (options.resume && !holdsCheckpoint(staging, "run"))
      warn(`${folder}: no checkpoint to resume; starting from the beginning`);
    const checkpoint = await openRunCheckpoint(staging, scenario, backend, every, workers);
    return namingFile(options.scenario, async () => {
      const input = await openInput(scenario);
      const finished = await runScenario(scenario, files, { workers, backend, onProgress, checkpoint });
      const began = checkpoint?.start ?? start;
      writeRunRecord(files, await runRecord("run", origin, scenario, input, backend, began, finished.results));
      return finished;
    });
  };
  const lost = () =>
    `interrupted after ${stepsDone()} steps; nothing is saved. Use --checkpoint-every N to be able to resume`;
  const resume = options.resume ? "run" : null;
  const finished = await withResultsFolder(folder, work, { resume, lost }).finally(stop);

  const { results } = finished;
  const rows = finished.rows.map((row, index) => {
    const router = scenario.routers[index];
    const hasDual = results.some((result) => result.router === router && result.dualRegret !== null);
    return { ...row, dualScores: hasDual ? router.scores : null };
  });
  const convergence = convergenceMessages(withPlanTotals(rows, results), scenario.routers);
  const samples = results.map(({ router, summary, regrets, solvedWithRegret }) => ({
    router: router.name,
    steps: scenario.steps,
    solved: summary.solverSteps ?? 0,
    measured: regrets.regret.length,
    solvedWithRegret,
  }));
  const warnings = [
    ...adviceWarnings(scenario),
    ...convergence.warnings,
    ...sampledRegretWarnings(samplesOfRouters(samples)),
    ...dualRegretWarnings(dualRegretBases(results)),
  ];
  // Loading the statistics takes a moment that other commands should not wait for.
  const { balanceSentences, verdictOfRun } = await import("../../core/results/verdict.ts");
  const verdict = verdictOfRun(rows);
  const { name, steps, tokens, experts, topK, seed } = scenario;
  const written = filesOfScenario(scenario);
  if (options.json) {
    const pareto = verdict.pareto.map((position) => verdict.contenders[position].name);
    const layers = {
      ...(hasLayers(scenario) && { layers: scenario.layers, absent_layers: scenario.absentLayers ?? [] }),
    };
    printJson({ name, out: folder, files: written, seed, ...layers, routers: rows.map(runObject), pareto });
  } else if (!options.quiet) {
    const table = formatRunTable(rows, tableStyle(options.wide));
    const leftOut = leftOutSentence(table);
    const say = (text: string) => writeLines(process.stdout, text);
    say(`${printable(name)}: ${layersText(scenario)}${sizesText(steps, tokens, experts)}, top-${topK}, seed ${seed}`);
    for (const sentence of absentSentences(scenario, silentLayers(results))) say(sentence);
    if (sweepSize !== null) {
      say(
        `This is one run with seed ${seed}. The scenario's ${sweepSize.names.join(" and ")} ` +
          `${sweepSize.names.length > 1 ? "ask" : "asks"} for ${counted(sweepSize.cells, "cell")}: ` +
          `moesim sweep ${shellWord(escapeUnprintable(options.scenario))} runs them.`,
      );
    }
    process.stdout.write(`\n${table.text}\n`);
    if (leftOut !== null) say(leftOut);
    say(`\n${affinityLines(rows, scenario.measure.scores).join("\n")}`);
    const sentences = [...balanceSentences(verdict), ...convergence.notes.map((note) => `Note: ${note}.`)];
    if (sentences.length > 0) say(sentences.join("\n"));
    say(`\nWritten to ${escapeUnprintable(folder)}: ${written.join(", ")}`);
    if (replaced !== null) say(`Replaced there: ${replaced}`);
  }
  for (const warning of warnings) warn(warning);
}

/** Returns the layers in which no router put a token on an expert, because all are disabled. */
function silentLayers(results: readonly RouterResult[]): number[] {
  const layers = Array.from(group(results, ({ layer }) => layer));
  return layers.flatMap(([layer, ofLayer]) =>
    layer !== undefined && ofLayer.every(({ summary }) => isAbsent(summary)) ? [layer] : [],
  );
}

/** Returns `rows` in which the steps with a plan, and those whose plan missed its tolerance, are those of all layers. */
function withPlanTotals(rows: readonly RunRow[], results: readonly RouterResult[]): SummaryRow[] {
  const ofRouter = group(results, ({ router }) => router.name);
  return rows.map((row) => {
    const layers = ofRouter.get(row.source.router)!;
    const solverSteps = sum(layers, ({ summary }) => summary.solverSteps ?? 0);
    const notConvergedSteps = sum(layers, ({ summary }) => summary.notConvergedSteps ?? 0);
    return { ...row, summary: { ...row.summary, solverSteps, notConvergedSteps } };
  });
}

/** Sums the samples of each router over its layers; as they are if one is a single step, which no sum shows. */
function samplesOfRouters(samples: readonly SampledRegret[]): readonly SampledRegret[] {
  if (samples.some(({ steps, measured }) => measured === 1 && steps > 1)) return samples;
  return Array.from(group(samples, ({ router }) => router)).map(([router, layers]) => ({
    router,
    steps: sum(layers, ({ steps }) => steps),
    solved: sum(layers, ({ solved }) => solved),
    measured: sum(layers, ({ measured }) => measured),
    solvedWithRegret: sum(layers, ({ solvedWithRegret }) => solvedWithRegret),
  }));
}

/** Creates the live line of a run: its progress, and the MaxVio of each router's latest batch. */
function createRunProgress({ steps, routers, layers = [0] }: Scenario, quiet: boolean) {
  const total = steps * routers.length * layers.length;
  let done = 0;
  const latest = new Map<string, number>();
  const progress = createLiveLine(
    () => `${done}/${total} steps`,
    quiet,
    () => ({
      name: "MaxVio",
      items: Array.from(latest, ([router, maxVio]) => `${printable(router)} ${formatNumber(maxVio)}`),
    }),
  );
  return {
    onProgress({ router, steps: more, maxVio }: RouterProgress): void {
      if (maxVio !== null) latest.set(router, maxVio);
      done += more;
      progress.update(done, total);
    },
    stepsDone: () => `${done} of ${total}`,
    stop: progress.stop,
  };
}

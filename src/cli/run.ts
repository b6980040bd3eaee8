import path from "node:path";
import type { CommandModule } from "yargs";
import { escapeUnprintable } from "../core/escape-unprintable.ts";
import { namingFile } from "../engine/naming-file.ts";
import { openRunCheckpoint } from "../engine/run-checkpoint.ts";
import { openInput, runRecord } from "../engine/run-record.ts";
import { runScenario, summaryRow } from "../engine/run-scenario.ts";
import type { RouterProgress } from "../engine/write-pass.ts";
import { holdsCheckpoint } from "../report/partial-folder.ts";
import { printable } from "../report/printable.ts";
import { resultFiles, writeRunRecord } from "../report/result-files.ts";
import { summaryObject } from "../report/summary-object.ts";
import { affinityLines, formatSummaryTable } from "../report/summary-table.ts";
import { formatNumber } from "../report/table.ts";
import { convergenceWarnings, dualRegretWarnings } from "../report/warnings.ts";
import type { Scenario } from "../scenario/scenario.ts";
import {
  type BackendName,
  backendOption,
  type CommonArguments,
  chooseBackend,
  optionGroups,
  outOption,
  positiveInteger,
} from "./common-options.ts";
import { epilogue, examples, runFiles } from "./help.ts";
import { checkKept, filesReadBy } from "./kept-files.ts";
import {
  readOneScenario,
  recordedScenarioPositional,
  type ScenarioArguments,
  scenarioOptions,
} from "./one-scenario.ts";
import { createLiveLine } from "./progress.ts";
import { sizesText } from "./sizes-text.ts";
import { printJson, tableStyle, warn } from "./terminal.ts";
import { withResultsFolder } from "./with-results-folder.ts";

interface RunArguments extends CommonArguments, ScenarioArguments {
  out?: string | undefined;
  "checkpoint-every"?: number | undefined;
  resume: boolean;
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
        describe: "Keep what is done after every so many steps, for --resume",
      })
      .option("resume", {
        type: "boolean",
        group: optionGroups.output,
        default: false,
        describe: "Go on from the last checkpoint of the same run that was stopped, to the same results",
      })
      .option("workers", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 1,
        describe: "Threads; the routers are shared out",
      })
      .option("backend", backendOption)
      .example(
        examples({
          "Compare the scenario's routers, files in results/quickstart": "$0 run scenarios/quickstart.yaml",
          "With changes, on two threads": "$0 run scenarios/collapse.yaml --seed 7 --set tokens=4096 --workers 2",
          "Change a parameter of one router": "$0 run my.yaml --set routers.alf-lb.updateRate=0.01 --out try",
          "Repeat a run, from the record that it wrote": "$0 run results/quickstart/run.json --out again",
          "Keep what is done, in case the run is stopped": "$0 run my.yaml --checkpoint-every 100",
          "Go on with it": "$0 run my.yaml --resume",
          "Take the summary into a script": "$0 run my.yaml --json | jq '.routers[].max_vio_global'",
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
  const { scenario, origin } = await readOneScenario(options);

  const folder = options.out ?? path.join("results", scenario.name);
  checkKept(folder, await filesReadBy(options.scenario, [scenario]));
  const { onProgress, stop } = createRunProgress(scenario, options.quiet);
  const start = new Date();
  const work = async (partial: string) => {
    if (options.resume && !holdsCheckpoint(partial))
      warn(`${folder} has no checkpoint; the run starts from the beginning`);
    const checkpoint = await openRunCheckpoint(partial, scenario, backend, every, workers);
    return namingFile(options.scenario, async () => {
      const input = await openInput(scenario);
      const results = await runScenario(scenario, partial, { workers, backend, onProgress, checkpoint });
      const began = checkpoint?.start ?? start;
      writeRunRecord(partial, await runRecord("run", origin, scenario, input, backend, began, results));
      return results;
    });
  };
  const results = await withResultsFolder(folder, false, work, options.resume).finally(stop);

  const rows = results.map((result) => ({
    ...summaryRow(scenario, result),
    ...result.timing,
    dualScores: result.dualRegret === null ? null : result.router.scores,
  }));
  const bases = results.flatMap(({ router, dualRegret }) =>
    dualRegret === null ? [] : [{ ...dualRegret, router: router.name }],
  );
  for (const warning of [...convergenceWarnings(rows), ...dualRegretWarnings(bases)]) warn(warning);
  if (options.json) {
    const { name, seed } = scenario;
    printJson({ name, out: folder, files: resultFiles, seed, routers: rows.map(summaryObject) });
    return;
  }
  if (options.quiet) return;
  const { name, steps, tokens, experts, topK, seed } = scenario;
  process.stdout.write(`${printable(name)}: ${sizesText(steps, tokens, experts)}, top-${topK}, seed ${seed}\n\n`);
  process.stdout.write(`${formatSummaryTable(rows, tableStyle())}\n\n`);
  process.stdout.write(`${affinityLines(rows, scenario.measure.scores).join("\n")}\n`);
  process.stdout.write(`Written to ${escapeUnprintable(folder)}: ${resultFiles.join(", ")}\n`);
}

/** The live line of a run: how far it is, and each router's MaxVio of its latest batch. */
function createRunProgress({ steps, routers }: Scenario, quiet: boolean) {
  const total = steps * routers.length;
  let done = 0;
  const latest = new Map<string, number>();
  const progress = createLiveLine(() => {
    const maxVios = Array.from(latest, ([router, maxVio]) => `${printable(router)} ${formatNumber(maxVio)}`);
    return `${done}/${total} steps · MaxVio ${maxVios.join(", ")}`;
  }, quiet);
  return {
    onProgress({ router, steps: more, maxVio }: RouterProgress): void {
      latest.set(router, maxVio);
      done += more;
      progress.update(done, total);
    },
    stop: progress.stop,
  };
}

import path from "node:path";
import type { CommandModule } from "yargs";
import { runRecord } from "../engine/run-record.ts";
import { runScenario } from "../engine/run-scenario.ts";
import { hindsightTolerance } from "../metrics/dual-regret.ts";
import { resultFiles, writeRunRecord } from "../report/result-files.ts";
import { convergenceWarnings, formatSummaryTable } from "../report/summary-table.ts";
import { loadScenario } from "../scenario/load.ts";
import { parseOverride } from "../scenario/overrides.ts";
import {
  type BackendName,
  backendOption,
  type CommonArguments,
  chooseBackend,
  outOption,
  positiveInteger,
  scenarioPositional,
  setOption,
} from "./common-options.ts";
import { createProgress } from "./progress.ts";
import { withOutputFolder } from "./with-output-folder.ts";

interface RunArguments extends CommonArguments {
  scenario: string;
  out?: string | undefined;
  seed?: number | undefined;
  set: string[];
  workers: number;
  backend: BackendName;
}

export const runCommand: CommandModule<CommonArguments, RunArguments> = {
  command: "run <scenario>",
  describe: "Route a scenario's stream through all its routers; print a table and write the reports",
  builder: (yargs) =>
    yargs
      .positional("scenario", scenarioPositional)
      .option("out", { ...outOption, defaultDescription: "results/<scenario name>" })
      .option("seed", { type: "number", requiresArg: true, describe: "Use this seed instead of the scenario's" })
      .option("set", setOption)
      .option("workers", {
        type: "number",
        requiresArg: true,
        default: 1,
        describe: "Threads; the routers are shared out",
      })
      .option("backend", backendOption)
      .example("$0 run scenarios/quickstart.yaml", "")
      .example("$0 run scenarios/collapse.yaml --seed 7 --set tokens=4096 --workers 2", ""),
  handler: run,
};

async function run(options: RunArguments): Promise<void> {
  const workers = positiveInteger("workers", options.workers);
  const backend = chooseBackend(options.backend);
  const overrides = options.set.map(parseOverride);
  if (options.seed !== undefined) overrides.push({ path: ["seed"], value: options.seed });
  const scenario = await loadScenario(options.scenario, overrides);

  const folder = options.out ?? path.join("results", scenario.name);
  const progress = createProgress(scenario.steps * scenario.routers.length, "steps", options.quiet);
  const start = new Date();
  const results = await withOutputFolder(folder, async (partial) => {
    const results = await runScenario(scenario, partial, { workers, backend, onProgress: progress.update });
    writeRunRecord(partial, await runRecord("run", options.scenario, scenario, backend, start, results));
    return results;
  }).finally(() => progress.stop());

  const rows = results.map(({ router, summary, dualRegret, timing }) => ({
    router: router.name,
    summary,
    dualRegret: dualRegret?.cumulative.at(-1) ?? null,
    routeMs: timing.routeMs,
  }));
  for (const warning of convergenceWarnings(rows)) process.stderr.write(`warning: ${warning}\n`);
  for (const { router, dualRegret } of results) {
    if (dualRegret === null) continue;
    if (dualRegret.keptFraction < 1) {
      const percent = (100 * dualRegret.keptFraction).toPrecision(2);
      process.stderr.write(`warning: ${router.name}: dual regret rests on a sample, ${percent} % of the tokens\n`);
    }
    if (dualRegret.gap > hindsightTolerance) {
      const gap = dualRegret.gap.toPrecision(2);
      process.stderr.write(`warning: ${router.name}: dual regret may be up to ${gap} too low\n`);
    }
  }
  if (options.quiet) return;
  const { name, steps, tokens, experts, topK, seed } = scenario;
  process.stdout.write(
    `${name}: ${steps} steps of ${tokens} tokens, ${experts} experts, top-${topK}, seed ${seed}\n\n`,
  );
  process.stdout.write(`${formatSummaryTable(rows)}\n\n`);
  process.stdout.write(`Written to ${folder}: ${resultFiles.join(", ")}\n`);
}

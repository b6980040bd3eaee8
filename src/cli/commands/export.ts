import type { CommandModule } from "yargs";
import { InputError } from "../../core/input-error.ts";
import { loadKernels } from "../../core/kernels/index.ts";
import { printable } from "../../core/results/format.ts";
import { hasLayers, type RouterChoice, type Scenario, scenariosOfLayers } from "../../core/scenario/scenario.ts";
import { batchesOnly, hasOwnStreams } from "../../core/simulation/sharing.ts";
import { createSimulation } from "../../core/simulation/simulation.ts";
import { suggestion } from "../../core/suggestion.ts";
import { escapeUnprintable, listedFirst } from "../../core/words.ts";
import { createNpyWriter } from "../../node/files/npy-writer.ts";
import { namingFile } from "../../node/run/run-record.ts";
import { eachStep } from "../../node/run/run-scenario.ts";
import {
  type BackendName,
  backendOption,
  type CommonArguments,
  chooseBackend,
  optionGroups,
} from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { checkTarget, filesReadBy, withOutputFile } from "../output.ts";
import { createProgress } from "../progress.ts";
import {
  readOneScenario,
  recordedScenarioPositional,
  type ScenarioArguments,
  scenarioOptions,
} from "../scenario-options.ts";
import { layersText, printJson, sizesText } from "../terminal.ts";

interface ExportArguments extends CommonArguments, ScenarioArguments {
  router?: string | undefined;
  out: string;
  backend: BackendName;
}

export const exportCommand: CommandModule<CommonArguments, ExportArguments> = {
  builder: (yargs) =>
    yargs
      .positional("scenario", recordedScenarioPositional)
      .options(scenarioOptions)
      .option("router", {
        type: "string",
        group: optionGroups.input,
        requiresArg: true,
        describe: "Label of the router that drives a stream that reacts to it",
      })
      .option("out", {
        type: "string",
        group: optionGroups.output,
        demandOption: true,
        requiresArg: true,
        describe: "The .npy file to write",
      })
      .option("backend", backendOption)
      .example(
        examples({
          "Export every batch of a scenario's stream": "$0 export scenarios/collapse.yaml --out logits.npy",
          "Change the scenario first": "$0 export my.yaml --set steps=10 --seed 7 --out logits.npy",
          "Export the logits of a gate trained with one router":
            "$0 export training.yaml --router ssr --out logits.npy",
        }),
      )
      .epilogue(
        epilogue(["--out  float32 [steps × tokens × experts], of several layers [steps × layers × tokens × experts]"]),
      ),
  handler: exportLogits,
};

async function exportLogits(options: ExportArguments): Promise<void> {
  const backend = await chooseBackend(options.backend);
  const { scenario } = await readOneScenario(options);
  const router = routerOf(scenario, options);
  checkTarget("out", options.out, await filesReadBy(options.scenario, [scenario]));
  const { name, steps, tokens, experts } = scenario;
  const layers = scenario.layers?.length ?? 1;
  const shape = hasLayers(scenario) ? [steps, layers, tokens, experts] : [steps, tokens, experts];
  const progress = createProgress(steps * layers, "steps", options.quiet);
  const write = async (file: string) => {
    const writer = createNpyWriter(file, shape);
    try {
      const part = router === null ? batchesOnly : { ...batchesOnly, routers: [scenario.routers.indexOf(router)] };
      const withoutRegret = { ...scenario, regret: { every: 0, gap: 0 } };
      for (const [layer, ofLayer] of scenariosOfLayers(withoutRegret).entries()) {
        const simulation = await createSimulation(ofLayer, { kernels: await loadKernels(backend), part });
        for await (const _ of eachStep(simulation)) {
          const batch = simulation.batch!;
          checkWhole(scenario, batch);
          writer.append(batch.logits, tokens * experts, (batch.step * layers + layer) * tokens * experts);
          progress.update(layer * steps + simulation.steps);
        }
      }
    } finally {
      writer.close();
    }
  };
  await withOutputFile(options.out, (file) => namingFile(options.scenario, () => write(file))).finally(() =>
    progress.stop(),
  );

  if (options.json) {
    printJson({ path: options.out, ...(hasLayers(scenario) && { layers: scenario.layers }), steps, tokens, experts });
    return;
  }
  if (options.quiet) return;
  process.stdout.write(
    `${printable(name)}: ${layersText(scenario)}${sizesText(steps, tokens, experts)}, written to ${escapeUnprintable(options.out)}\n`,
  );
}

/** Returns the router that drives the stream; null if all routers see the same. Throws `InputError` if several are possible. */
function routerOf(scenario: Scenario, { scenario: file, router: label }: ExportArguments): RouterChoice | null {
  const { routers, stream } = scenario;
  const names = routers.map(({ name }) => name);
  const router = routers.find(({ name }) => name === label);
  if (label !== undefined && router === undefined) {
    const nearest = suggestion(label, names);
    throw new InputError(`--router ${label}: ${file} has no such router.${nearest} Allowed: ${listedFirst(names)}.`);
  }
  if (!hasOwnStreams(scenario)) return null;
  if (router !== undefined) return router;
  if (routers.length === 1) return routers[0];
  throw new InputError(
    `${file}: a stream of kind "${stream.kind}" reacts to its router, so each router has its own; choose one with --router: ` +
      `${listedFirst(names)}`,
  );
}

/** Throws `InputError` if a recorded batch is shorter than the others: a .npy file cannot hold it. */
function checkWhole({ steps, tokens }: Scenario, batch: { readonly step: number; readonly tokens: number }): void {
  if (batch.tokens === tokens) return;
  throw new InputError(
    `stream: step ${batch.step} has ${batch.tokens} tokens, the others ${tokens}, and all steps of a .npy file must be equal; ` +
      `leave it out with --set steps=${steps - 1}`,
  );
}

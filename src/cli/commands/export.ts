import type { CommandModule } from "yargs";
import { InputError } from "../../core/input-error.ts";
import { type KernelBackend, loadKernels } from "../../core/kernels/index.ts";
import { printable } from "../../core/results/format.ts";
import { routerKindOf } from "../../core/routers/index.ts";
import { topkKind } from "../../core/routers/topk.ts";
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

const contents = ["logits", "selections"] as const;

interface ExportArguments extends CommonArguments, ScenarioArguments {
  router?: string | undefined;
  what: (typeof contents)[number];
  out: string;
  gates?: string | undefined;
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
        describe: "Label of the router that selects, or that drives a stream that reacts to it",
        defaultDescription: "plain top-k",
      })
      .option("what", {
        group: optionGroups.output,
        choices: contents,
        requiresArg: true,
        default: "logits" as const,
        describe: "Write the logits, or the experts that each token selects",
      })
      .option("out", {
        type: "string",
        group: optionGroups.output,
        demandOption: true,
        requiresArg: true,
        describe: "The .npy file to write",
      })
      .option("gates", {
        type: "string",
        group: optionGroups.output,
        requiresArg: true,
        describe: "With --what selections: also write their gates to this .npy file",
      })
      .option("backend", backendOption)
      .example(
        examples({
          "Export every batch of a scenario's stream": "$0 export scenarios/collapse.yaml --out logits.npy",
          "Change the scenario first": "$0 export my.yaml --set steps=10 --seed 7 --out logits.npy",
          "Export the logits of a gate trained with one router":
            "$0 export training.yaml --router ssr --out logits.npy",
          "Export each token's experts under plain top-k, for a kernel benchmark":
            "$0 export skewed.yaml --what selections --out topk-ids.npy",
        }),
      )
      .epilogue(
        epilogue([
          "--out    logits: float32 [steps × tokens × experts]; selections: int32 [steps × tokens × topK], −1 for none",
          "--gates  float32 [steps × tokens × topK]",
          "With several layers, the files have the dimension of the layers after that of the steps.",
        ]),
      ),
  handler: exportStream,
};

async function exportStream(options: ExportArguments): Promise<void> {
  const { out, gates, what } = options;
  const backend = await chooseBackend(options.backend);
  if (gates !== undefined && what === "logits") {
    throw new InputError("--gates: logits have no gates; add --what selections, or leave --gates out");
  }
  const { scenario: whole } = await readOneScenario(options);
  const scenario = { ...whole, routers: routersOf(whole, options), regret: { every: 0, gap: 0 } };
  const inputs = await filesReadBy(options.scenario, [scenario]);
  checkTarget("out", out, inputs);
  if (gates !== undefined) checkTarget("gates", gates, [...inputs, { name: "--out", file: out }]);

  const { name, steps, tokens, experts, topK } = scenario;
  const progress = createProgress(steps * (scenario.layers?.length ?? 1), "steps", options.quiet);
  const write = (file: string, gateFile: string | null) =>
    namingFile(options.scenario, () => writeBatches(scenario, backend, what, file, gateFile, progress.update));
  await withOutputFile(out, (file) =>
    gates === undefined ? write(file, null) : withOutputFile(gates, (gateFile) => write(file, gateFile)),
  ).finally(() => progress.stop());

  if (options.json) {
    const layers = hasLayers(scenario) ? { layers: scenario.layers } : {};
    const selected = what === "logits" ? {} : { top_k: topK, gates: gates ?? null };
    printJson({ path: out, what, ...layers, steps, tokens, experts, ...selected });
    return;
  }
  if (options.quiet) return;
  const selected = what === "logits" ? "" : `, top-${topK} of ${printable(scenario.routers[0].name)}`;
  const files = gates === undefined ? [out] : [out, gates];
  process.stdout.write(
    `${printable(name)}: ${layersText(scenario)}${sizesText(steps, tokens, experts)}${selected}, written to ` +
      `${escapeUnprintable(files.join(" and "))}\n`,
  );
}

/** Writes every batch of a scenario with at most one router, which routes it, and which selections are those of. */
async function writeBatches(
  scenario: Scenario,
  backend: KernelBackend,
  what: ExportArguments["what"],
  file: string,
  gateFile: string | null,
  onProgress: (steps: number) => void,
): Promise<void> {
  const { steps, tokens, experts, topK } = scenario;
  const layers = scenario.layers?.length ?? 1;
  const dimensions = hasLayers(scenario) ? [steps, layers, tokens] : [steps, tokens];
  const logitWriter = what === "logits" ? createNpyWriter(file, [...dimensions, experts]) : null;
  const expertWriter = what === "logits" ? null : createNpyWriter(file, [...dimensions, topK], "int32");
  const gateWriter = gateFile === null ? null : createNpyWriter(gateFile, [...dimensions, topK]);
  const part = { ...batchesOnly, routers: Array.from(scenario.routers.keys()) };
  try {
    for (const [layer, ofLayer] of scenariosOfLayers(scenario).entries()) {
      const simulation = await createSimulation(ofLayer, { kernels: await loadKernels(backend), part });
      for await (const _ of eachStep(simulation)) {
        const batch = simulation.batch!;
        checkWhole(scenario, batch);
        const place = (batch.step * layers + layer) * tokens;
        logitWriter?.append(batch.logits, tokens * experts, place * experts);
        if (expertWriter !== null) {
          const { expert, gate } = simulation.runs[0].routed.assignment;
          expertWriter.append(expert, tokens * topK, place * topK);
          gateWriter?.append(gate, tokens * topK, place * topK);
        }
        onProgress(layer * steps + simulation.steps);
      }
    }
  } finally {
    for (const writer of [logitWriter, expertWriter, gateWriter]) writer?.close();
  }
}

/**
 * Returns the router that drives the stream or selects; none if all routers see the same and only logits are wanted. Throws
 * `InputError` if several are possible, or if the router's tokens have different numbers of experts.
 */
function routersOf(scenario: Scenario, options: ExportArguments): RouterChoice[] {
  const named = routerOf(scenario, options);
  if (options.what === "logits") return hasOwnStreams(scenario) ? [named!] : [];
  const router = named ?? {
    kind: topkKind.kind,
    name: topkKind.kind,
    scores: scenario.measure.scores,
    options: topkKind.options.parse({}),
  };
  if (routerKindOf(router).maxSlots === undefined) return [router];
  throw new InputError(
    `--what selections: the tokens of ${router.kind} have different numbers of experts, and a .npy file has no place for that; ` +
      "use moesim route, which writes a row per expert",
  );
}

/** Returns the router that is named, or else the only one that can drive the stream; null if none needs to. */
function routerOf(scenario: Scenario, { scenario: file, router: label }: ExportArguments): RouterChoice | null {
  const { routers, stream } = scenario;
  const names = routers.map(({ name }) => name);
  const router = routers.find(({ name }) => name === label);
  if (label !== undefined && router === undefined) {
    const nearest = suggestion(label, names);
    throw new InputError(`--router ${label}: ${file} has no such router.${nearest} Allowed: ${listedFirst(names)}.`);
  }
  if (router !== undefined) return router;
  if (!hasOwnStreams(scenario)) return null;
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

import type { CommandModule } from "yargs";
import { InputError } from "../../core/input-error.ts";
import { type KernelBackend, loadKernels } from "../../core/kernels/index.ts";
import { adviceWarnings, stopsEarly } from "../../core/results/warnings.ts";
import { routerKindOf, routerKinds } from "../../core/routers/index.ts";
import { findModel, modelNames } from "../../core/scenario/models.ts";
import { parseOverride, withOverride } from "../../core/scenario/overrides.ts";
import { hasLayers, type Scenario, scenariosOfLayers } from "../../core/scenario/scenario.ts";
import { createSimulation, withMemoryFor } from "../../core/simulation/simulation.ts";
import { suggestion } from "../../core/suggestion.ts";
import type { TokenBatch } from "../../core/token-batch.ts";
import { escapeUnprintable, rangesText } from "../../core/words.ts";
import { createNpyWriter, type NpyWriter } from "../../node/files/npy-writer.ts";
import { findRecordedFiles } from "../../node/files/recorded-files.ts";
import { createAssignmentFile } from "../../node/files/write-results.ts";
import { eachStep } from "../../node/run/run-scenario.ts";
import {
  type BackendName,
  backendOption,
  type CommonArguments,
  chooseBackend,
  optionGroups,
} from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { checkTarget, withOutputFile } from "../output.ts";
import { createProgress } from "../progress.ts";
import { type LogitsArguments, type LogitsScenario, logitsOptions, scenarioOfLogits } from "../scenario-options.ts";
import { absentSentences, layersText, printJson, sayTakenFor, sizesText, warn, writeLines } from "../terminal.ts";

interface RouteArguments extends CommonArguments, LogitsArguments {
  router?: string | undefined;
  model?: string | undefined;
  "capacity-factor"?: number | undefined;
  seed: number;
  param: string[];
  out: string;
  plan?: string | undefined;
  backend: BackendName;
}

export const routeCommand: CommandModule<CommonArguments, RouteArguments> = {
  builder: (yargs) =>
    yargs
      .option("router", {
        group: optionGroups.input,
        choices: routerKinds.map(({ kind }) => kind),
        requiresArg: true,
        describe: "Kind of router; with --model, in place of the model's own",
      })
      .option("model", {
        group: optionGroups.input,
        choices: modelNames,
        requiresArg: true,
        describe: "Published model that sets router, top-k and scores; list models has them",
      })
      .options(logitsOptions)
      .option("top-k", {
        ...logitsOptions["top-k"],
        defaultDescription: `the model's, else ${logitsOptions["top-k"].defaultDescription}`,
      })
      .option("param", {
        type: "string",
        group: optionGroups.input,
        array: true,
        default: [] as string[],
        describe: "Set router parameters: name=value …, e.g. epsilon=0.1",
      })
      .option("capacity-factor", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        describe: "Capacity as a multiple of an equal share, above 0",
        defaultDescription: "1",
      })
      .option("seed", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        default: 0,
        describe: "Seed of routers that draw random numbers",
      })
      .option("out", {
        type: "string",
        group: optionGroups.output,
        demandOption: true,
        requiresArg: true,
        describe: "CSV file to write the assignments to",
      })
      .option("plan", {
        type: "string",
        group: optionGroups.output,
        requiresArg: true,
        describe: "Also write the transport plan to this .npy file",
      })
      .option("backend", backendOption)
      .example(
        examples({
          "Select eight experts for each token":
            "$0 route --router topk --logits logits.npy --top-k 8 --out chosen.csv",
          "Also write the transport plan": "$0 route --router ssr --logits logits.npy --out chosen.csv --plan p.npy",
          "Route as a published model does": "$0 route --model deepseek-v3 --logits logits.npy --out chosen.csv",
          "Set a parameter": "$0 route --router ssr --logits logits.npy --param epsilon=1 --out a.csv",
        }),
      )
      .epilogue(
        epilogue([
          "--out   step, token, slot, expert, gate: a row per token and selected expert, none for padding; last the layer, if there " +
            "are several",
          "--plan  float32 [tokens × experts] or [steps × tokens × experts]; rows sum to 1, or to 0 for padding and where scot has " +
            "no mass",
        ]),
      ),
  handler: route,
};

async function route(options: RouteArguments): Promise<void> {
  const backend = await chooseBackend(options.backend);
  const written = routerOf(options);
  const router = written.kind;
  if (options.plan !== undefined) checkPlan(router);
  checkOutputs(options, await findRecordedFiles([options.logits]));
  const { scenario, hasSteps, recording } = await scenarioFor(options, written);
  if (options.plan !== undefined && hasLayers(scenario)) {
    throw new InputError(
      `--plan: ${options.logits} has several layers, ${rangesText(scenario.layers!)}; choose one with --layers`,
    );
  }
  const layers = scenario.layers?.length ?? 1;
  const progress = createProgress(scenario.steps * layers, "steps", options.quiet);
  const write = (out: string, planWriter: NpyWriter | null) =>
    routeBatches(scenario, backend, out, planWriter, progress.update);

  const notConverged = await withOutputFile(options.out, (out) =>
    options.plan === undefined
      ? write(out, null)
      : withOutputFile(options.plan, async (planFile) => {
          const { steps, tokens, experts } = scenario;
          return write(out, createNpyWriter(planFile, hasSteps ? [steps, tokens, experts] : [tokens, experts]));
        }),
  ).finally(() => progress.stop());

  const missed = `the plan missed its tolerance on ${notConverged} of ${scenario.steps * layers} steps`;
  const isMeant = stopsEarly(scenario.routers[0]);
  const { out, plan = null } = options;
  const { steps, tokens, experts, topK } = scenario;
  if (options.json) {
    const missedSteps = routerKindOf({ kind: router }).plan === undefined ? null : notConverged;
    const ids = hasLayers(scenario) ? { layers: scenario.layers } : {};
    printJson({
      router,
      recording: recording.description,
      ...ids,
      steps,
      tokens,
      experts,
      top_k: topK,
      not_converged_steps: missedSteps,
      out,
      plan,
    });
  } else if (!options.quiet) {
    sayTakenFor(recording);
    writeLines(
      process.stdout,
      `${router}: ${layersText(scenario)}${sizesText(steps, tokens, experts)}, top-${topK}, written to ` +
        `${escapeUnprintable([out, ...(plan === null ? [] : [plan])].join(" and "))}`,
    );
    for (const sentence of absentSentences(scenario)) writeLines(process.stdout, sentence);
    if (notConverged > 0 && isMeant) writeLines(process.stdout, `Note: ${missed}, as its settings ask for.`);
  }
  for (const warning of adviceWarnings(scenario)) warn(warning);
  if (notConverged > 0 && !isMeant) warn(`${router}: ${missed}`);
}

function checkPlan(router: string): void {
  const withPlan = routerKinds.filter((kind) => kind.plan !== undefined).map(({ kind }) => kind);
  if (!withPlan.includes(router)) {
    throw new InputError(
      `--plan: router "${router}" has no transport plan; leave --plan out, or use one of: ${withPlan.join(", ")}`,
    );
  }
}

/** Throws `InputError` if an output would overwrite the logits, the other output, or results. */
function checkOutputs({ out, plan, "padding-mask": mask }: RouteArguments, logits: readonly string[]): void {
  const sources = logits.map((file) => ({ name: "--logits", file }));
  if (mask !== undefined) sources.push({ name: "--padding-mask", file: mask });
  checkTarget("out", out, sources);
  if (plan !== undefined) checkTarget("plan", plan, [...sources, { name: "--out", file: out }]);
}

/** Returns the router that `--router` names, or else the one of `--model`. Throws `InputError` if neither is given. */
function routerOf({ router, model }: RouteArguments): { readonly kind: string } {
  if (router !== undefined) return { kind: router };
  const found = findModel(model);
  if (found === undefined)
    throw new InputError(
      "route: missing --router or --model; usage: moesim route --router … --logits … --out … (see moesim route --help)",
    );
  return found.router;
}

/** Returns the scenario that routes the file with one router, `written` with its parameters of `--param`. */
function scenarioFor(options: RouteArguments, written: { readonly kind: string }): Promise<LogitsScenario> {
  const { seed, "capacity-factor": capacityFactor } = options;
  const overrides = options.param.map(parseOverride);
  const parameters = [...Object.keys(routerKindOf(written).options.shape), "scores"];
  for (const { path: parameter } of overrides) checkParameter(written.kind, parameter[0], parameters);
  return scenarioOfLogits("route", options, {
    seed,
    ...(capacityFactor !== undefined && { capacityFactor }),
    routers: [overrides.reduce<unknown>(withOverride, written)],
  });
}

/** Throws `InputError` if `--param` names something that is not one of the router's `parameters`. */
function checkParameter(router: string, name: string, parameters: readonly string[]): void {
  if (parameters.includes(name)) return;
  throw new InputError(
    `--param ${name}: router "${router}" has no such parameter.${suggestion(name, parameters)} Allowed: ${parameters.join(", ")}.`,
  );
}

/** Moves the rows of a `plan` `[tokens × experts]` to the tokens' places in the recording; those of padding become 0. */
function spreadRows(plan: Float32Array, { tokens, experts, position }: TokenBatch): void {
  let end = plan.length;
  for (let token = tokens - 1; token >= 0; token--) {
    const row = position![token] * experts;
    plan.copyWithin(row, token * experts, (token + 1) * experts);
    plan.fill(0, row + experts, end);
    end = row;
  }
  plan.fill(0, 0, end);
}

/** Routes and writes all batches. Returns how many plans missed their tolerance. */
async function routeBatches(
  scenario: Scenario,
  backend: KernelBackend,
  out: string,
  planWriter: NpyWriter | null,
  onProgress: (steps: number) => void,
): Promise<number> {
  const assignments = createAssignmentFile(out, hasLayers(scenario));
  let notConverged = 0;
  let stepsDone = 0;
  try {
    for (const ofLayer of scenariosOfLayers(scenario)) await routeLayer(ofLayer);
  } finally {
    assignments.close();
    planWriter?.close();
  }
  return notConverged;

  async function routeLayer(scenario: Scenario): Promise<void> {
    const kernels = await loadKernels(backend);
    const plan =
      planWriter &&
      (await withMemoryFor(scenario, async () => kernels.allocateFloat32(scenario.tokens * scenario.experts)));
    const simulation = await createSimulation(scenario, { kernels, isMeasured: false });
    const [run] = simulation.runs;
    // Tokens of expert choice have slots without an expert, which no token ever chose.
    const keepEmpty = routerKindOf(run.choice).maxSlots === undefined;
    for await (const _ of eachStep(simulation)) {
      const batch = simulation.batch!;
      const { assignment, solver } = run.routed;
      assignments.write(batch, assignment, keepEmpty, scenario.layers?.[0]);
      if (plan !== null) {
        if (batch.tokens > 0) run.router.writePlan!(batch, plan);
        if (batch.position !== undefined) spreadRows(plan, batch);
        planWriter!.append(plan, plan.length);
      }
      if (solver !== undefined && !solver.converged) notConverged += 1;
      stepsDone += 1;
      onProgress(stepsDone);
    }
  }
}

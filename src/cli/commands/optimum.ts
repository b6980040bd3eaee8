import type { CommandModule } from "yargs";
import { scoreKinds } from "../../core/assignment.ts";
import { InputError } from "../../core/input-error.ts";
import { createKernels } from "../../core/kernels/index.ts";
import { hasLayers, type Scenario, scenariosOfLayers } from "../../core/scenario/scenario.ts";
import { batchesOnly } from "../../core/simulation/sharing.ts";
import { createSimulation, withMemoryFor } from "../../core/simulation/simulation.ts";
import { batchCapacity, excludeDisabled } from "../../core/token-batch.ts";
import { createAssignmentSolver, mostAssignmentExperts } from "../../core/transport/assignment/exact-assignment.ts";
import { eachStep } from "../../node/run/run-scenario.ts";
import { type CommonArguments, optionGroups, positiveInteger } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { type LogitsArguments, logitsOptions, scenarioOfLogits } from "../scenario-options.ts";
import { sayTakenFor, warn } from "../terminal.ts";

const scoreNames = [...scoreKinds, "raw"] as const;

interface OptimumArguments extends CommonArguments, LogitsArguments {
  capacity?: number | undefined;
  scores: (typeof scoreNames)[number];
  gap: number;
}

export const optimumCommand: CommandModule<CommonArguments, OptimumArguments> = {
  builder: (yargs) =>
    yargs
      .options(logitsOptions)
      .option("capacity", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        describe: "Maximum tokens per expert",
        defaultDescription: "tokens · top-k / experts, rounded up; with disabled experts, what their tokens need",
      })
      .option("scores", {
        group: optionGroups.input,
        choices: scoreNames,
        requiresArg: true,
        default: "softmax" as const,
        describe: "What to sum; logits, or raw, skip negative ones",
      })
      .option("gap", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 0,
        describe: "Stop when (upper_bound − optimum) per pair is at most this",
      })
      .example(
        examples({
          "Find the exact optimum, with an equal share of the pairs as capacity":
            "$0 optimum --logits logits.npy --top-k 8",
          "Find it to within 1e-4 per pair": "$0 optimum --logits logits.npy --capacity 99 --scores sigmoid --gap 1e-4",
        }),
      )
      .epilogue(epilogue()),
  handler: optimum,
};

async function optimum(options: OptimumArguments): Promise<void> {
  const { gap } = options;
  const capacity = options.capacity === undefined ? undefined : positiveInteger("capacity", options.capacity);
  if (typeof gap !== "number" || !(gap >= 0))
    throw new InputError(`--gap: ${gap} is not allowed; give a number of at least 0`);
  const { scenario, recording } = await scenarioOfLogits("optimum", options, { routers: [{ kind: "topk" }] });
  if (scenario.experts > mostAssignmentExperts) {
    throw new InputError(
      `${options.logits}: has ${scenario.experts} experts; optimum takes at most ${mostAssignmentExperts}`,
    );
  }
  const kind = options.scores === "raw" ? "logits" : options.scores;
  const { tokens: most, experts, topK } = scenario;
  const isLayered = hasLayers(scenario);
  // Prints nothing if a later step of the file turns out to be bad.
  const lines: string[] = [];
  for (const ofLayer of scenariosOfLayers(scenario)) await solveLayer(ofLayer);
  // Standard output is for scripts.
  if (!options.quiet && !options.json) sayTakenFor(recording, process.stderr);
  process.stdout.write(lines.join(""));
  for (const warning of scenario.warnings ?? []) warn(warning);

  async function solveLayer(scenario: Scenario): Promise<void> {
    const kernels = createKernels();
    const { scores, solver, simulation } = await withMemoryFor(scenario, async () => ({
      scores: kernels.allocateFloat64(most * experts),
      solver: createAssignmentSolver(kernels, most, experts, topK, { gap }),
      simulation: await createSimulation(scenario, { kernels, part: batchesOnly }),
    }));
    const place = isLayered ? { layer: scenario.layers![0] } : {};
    for await (const _ of eachStep(simulation)) {
      const batch = simulation.batch!;
      const { logits, tokens } = batch;
      if (tokens === 0) {
        lines.push(`${JSON.stringify({ ...place, optimum: 0, upper_bound: 0, exact: true })}\n`);
        continue;
      }
      kernels.affinities(logits, kind, tokens, experts, scores);
      excludeDisabled(batch, scores);
      // Each search starts from the prices of the previous one.
      const { value, upperBound, exact } = solver.solve({
        scores,
        tokens,
        capacity: capacity ?? batchCapacity(batch, scenario),
      });
      lines.push(`${JSON.stringify({ ...place, optimum: value, upper_bound: upperBound, exact })}\n`);
    }
  }
}

import type { CommandModule } from "yargs";
import { InputError } from "../../core/input-error.ts";
import { mostAssignmentExperts } from "../../core/transport/assignment/exact-assignment.ts";
import { optimumOfFile } from "../../node/run/optimum-of-file.ts";
import { type CommonArguments, optionGroups, positiveInteger } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { type LogitsArguments, logitsOptions, scenarioOfLogits } from "../logits-file.ts";

const scoreNames = ["softmax", "sigmoid", "raw"] as const;

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
        defaultDescription: "tokens · top-k / experts, rounded up",
      })
      .option("scores", {
        group: optionGroups.input,
        choices: scoreNames,
        requiresArg: true,
        default: "softmax" as const,
        describe: "What to sum; raw sums logits and skips negative ones",
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
  const { scenario } = await scenarioOfLogits("optimum", options, { routers: [{ kind: "topk" }] });
  if (scenario.experts > mostAssignmentExperts) {
    throw new InputError(
      `${options.logits}: has ${scenario.experts} experts; optimum takes at most ${mostAssignmentExperts}`,
    );
  }
  const scores = options.scores === "raw" ? "logits" : options.scores;
  // Prints nothing if a later step of the file turns out to be bad.
  const lines: string[] = [];
  for await (const { optimum, upperBound, exact } of optimumOfFile(scenario, { scores, capacity, gap }, "wasm")) {
    lines.push(`${JSON.stringify({ optimum, upper_bound: upperBound, exact })}\n`);
  }
  process.stdout.write(lines.join(""));
}

import path from "node:path";
import type { Options } from "yargs";
import { resolveScenario } from "../scenario/load.ts";
import type { Scenario } from "../scenario/scenario.ts";
import { openTensor } from "../streams/readers/open-tensor.ts";

const defaultTopK = 2;

/** The options of commands that take one file of logits. */
export interface LogitsArguments {
  logits: string;
  "top-k"?: number | undefined;
  tensor?: string | undefined;
  column?: string | undefined;
}

export const logitsOptions = {
  logits: {
    type: "string",
    demandOption: true,
    requiresArg: true,
    describe: "Logits [tokens × experts], one batch, or [steps × tokens × experts], taken step by step",
  },
  "top-k": {
    type: "number",
    requiresArg: true,
    describe: "Experts per token",
    defaultDescription: `${defaultTopK}, or all experts where there are fewer`,
  },
  tensor: { type: "string", requiresArg: true, describe: "Which tensor of a .safetensors file" },
  column: { type: "string", requiresArg: true, describe: "Which list column of a .parquet file" },
} as const satisfies Record<string, Options>;

/**
 * The scenario whose stream is the file, with `fields` besides, checked as any other by `command`'s name; a file with two
 * dimensions is one batch. Throws `InputError`.
 */
export async function scenarioOfLogits(
  command: string,
  { logits, tensor, column, "top-k": topK }: LogitsArguments,
  fields: object,
): Promise<{ scenario: Scenario; hasSteps: boolean }> {
  const reader = await openTensor(logits, { tensor, column });
  const { shape } = reader;
  await reader.close();
  const hasSteps = shape.length === 3;
  const experts = shape[shape.length - 1];
  const written = {
    name: command,
    topK: topK ?? Math.min(defaultTopK, experts),
    stream: { kind: "trace", path: path.resolve(logits), tensor, column, batchTokens: hasSteps ? undefined : shape[0] },
    regret: { every: 0 },
    ...fields,
  };
  return { scenario: await resolveScenario(written, command), hasSteps };
}

import path from "node:path";
import type { CommandModule } from "yargs";
import { printable } from "../../core/results/format.ts";
import { adviceWarnings } from "../../core/results/warnings.ts";
import { resolveScenario } from "../../core/scenario/load.ts";
import { sweepCells } from "../../core/scenario/sweep.ts";
import { escapeUnprintable } from "../../core/words.ts";
import { readScenarioFile } from "../../node/files/scenario-file.ts";
import { type CommonArguments, positiveInteger, scenarioPositional } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { maxCellsOption } from "../scenario-options.ts";
import { printJson, sizesText, warn } from "../terminal.ts";

interface ValidateArguments extends CommonArguments {
  scenario: string;
  "max-cells": number;
}

export const validateCommand: CommandModule<CommonArguments, ValidateArguments> = {
  builder: (yargs) =>
    yargs
      .positional("scenario", scenarioPositional)
      .option("max-cells", maxCellsOption)
      .example(
        examples({
          "Validate a scenario, or list everything that is wrong with it": "$0 validate scenarios/quickstart.yaml",
          "Use the exit code in a script": "$0 validate scenario.json --quiet && echo fine",
        }),
      )
      .epilogue(epilogue()),
  handler: validate,
};

async function validate(options: ValidateArguments): Promise<void> {
  const maxCells = positiveInteger("max-cells", options["max-cells"]);
  const { written, origin } = await readScenarioFile(options.scenario);
  const folder = path.dirname(origin);
  const scenario = await resolveScenario(written, options.scenario, folder);
  const cells = await sweepCells(written, options.scenario, maxCells, folder);
  const { name, steps, tokens, experts, topK, routers, stream } = scenario;
  if (options.json) {
    const kinds = routers.map((router) => ({ router: router.name, kind: router.kind }));
    const sizes = { steps, tokens, experts, top_k: topK };
    printJson({ valid: true, name, stream: stream.kind, ...sizes, cells: cells.length, routers: kinds });
    return;
  }
  for (const warning of adviceWarnings(scenario)) warn(warning);
  if (options.quiet) return;
  const count = cells.length === 1 ? "" : `, ${cells.length} cells`;
  process.stdout.write(
    `${escapeUnprintable(options.scenario)} is valid${count}: ${printable(name)}, ${stream.kind} stream, ${sizesText(steps, tokens, experts)}, top-${topK}, ` +
      `routers ${routers.map((router) => printable(router.name)).join(", ")}\n`,
  );
}

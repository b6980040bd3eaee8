import type { CommandModule } from "yargs";
import { scenarioJsonSchema } from "../../core/scenario/schema.ts";
import type { CommonArguments } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { printJson } from "../terminal.ts";

export const schemaCommand: CommandModule<CommonArguments, CommonArguments> = {
  builder: (yargs) =>
    yargs
      .example(
        examples({
          "Save the schema for an editor": "$0 schema > scenario.schema.json",
          "Print it; --json makes no difference": "$0 schema --json",
        }),
      )
      .epilogue(epilogue()),
  handler() {
    printJson(scenarioJsonSchema());
  },
};

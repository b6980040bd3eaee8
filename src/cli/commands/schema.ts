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
          "Keep it where editors find it": "$0 schema > scenario.schema.json",
          "The same: the schema is JSON in any case": "$0 schema --json",
        }),
      )
      .epilogue(epilogue()),
  handler() {
    printJson(scenarioJsonSchema());
  },
};

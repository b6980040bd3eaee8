import type { CommandModule } from "yargs";
import { loadScenario } from "../scenario/load.ts";
import { type CommonArguments, scenarioPositional } from "./common-options.ts";

interface ValidateArguments extends CommonArguments {
  scenario: string;
}

export const validateCommand: CommandModule<CommonArguments, ValidateArguments> = {
  command: "validate <scenario>",
  describe: "Check a scenario, and the header of the recorded file it names, without running it",
  builder: (yargs) =>
    yargs.positional("scenario", scenarioPositional).example("$0 validate scenarios/quickstart.yaml", ""),
  async handler(options) {
    const { name, steps, tokens, experts, topK, routers, stream } = await loadScenario(options.scenario);
    if (options.quiet) return;
    process.stdout.write(
      `${options.scenario} is valid: ${name}, ${stream.kind} stream, ${steps} steps of ${tokens} tokens, ${experts} experts, top-${topK}, ` +
        `routers ${routers.map((router) => router.name).join(", ")}\n`,
    );
  },
};

import type { CommandModule } from "yargs";
import { escapeUnprintable } from "../core/escape-unprintable.ts";
import { printable } from "../report/printable.ts";
import { loadScenario } from "../scenario/load.ts";
import { type CommonArguments, scenarioPositional } from "./common-options.ts";
import { epilogue } from "./help.ts";
import { printJson } from "./terminal.ts";

interface ValidateArguments extends CommonArguments {
  scenario: string;
}

export const validateCommand: CommandModule<CommonArguments, ValidateArguments> = {
  command: "validate <scenario>",
  describe: "Check a scenario, and the header of the recorded file it names, without running it",
  builder: (yargs) =>
    yargs
      .positional("scenario", scenarioPositional)
      .example("$0 validate scenarios/quickstart.yaml", "Say whether it is valid, and all that is wrong with it if not")
      .example("$0 validate scenario.json --quiet && echo fine", "In a script, by the exit code")
      .epilogue(epilogue()),
  async handler(options) {
    const { name, steps, tokens, experts, topK, routers, stream } = await loadScenario(options.scenario);
    if (options.json) {
      const kinds = routers.map((router) => ({ router: router.name, kind: router.kind }));
      printJson({ valid: true, name, stream: stream.kind, steps, tokens, experts, top_k: topK, routers: kinds });
      return;
    }
    if (options.quiet) return;
    process.stdout.write(
      `${escapeUnprintable(options.scenario)} is valid: ${printable(name)}, ${stream.kind} stream, ${steps} steps of ${tokens} tokens, ${experts} experts, top-${topK}, ` +
        `routers ${routers.map((router) => printable(router.name)).join(", ")}\n`,
    );
  },
};

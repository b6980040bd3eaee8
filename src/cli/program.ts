import yargs, { type Argv, type CommandModule } from "yargs";
import { InputError } from "../core/input-error.ts";
import { version } from "../version.ts";
import { CheckFailed } from "./check-failed.ts";
import { checkOptionValues, type KnownOptions, parsingProblem } from "./command-line-problems.ts";
import { completeWords, completionCommand } from "./commands/completion.ts";
import type { CommonArguments } from "./common-options.ts";
import { exitCodes, reportError } from "./exit-codes.ts";
import { programEpilogue } from "./help.ts";
import { columnsOf, writeLines } from "./terminal.ts";

/** Characters a line of help at most: longer ones are hard to read. */
const mostHelpColumns = 110;

/** A command that yargs wants for itself and that nobody sees: its own is not like ours, and prints no help. */
const hiddenCompletionCommand = "completion-script";

/** Every command, in the order of `--help`. A module is loaded only for a command line that names its command. */
const commands: readonly Command[] = [
  command(
    "run <scenario>",
    "Route a scenario's stream through all its routers; print a table and write the reports",
    async () => (await import("./commands/run.ts")).runCommand,
  ),
  command(
    "sweep <scenario>",
    "Run every combination of the lists under a scenario's `sweep` and `seeds`, and recommend one",
    async () => (await import("./commands/sweep.ts")).sweepCommand,
  ),
  command(
    "export <scenario>",
    "Write the logits of a scenario's stream to a file, to be routed again or elsewhere",
    async () => (await import("./commands/export.ts")).exportCommand,
  ),
  command(
    "route",
    "Route the logits of a file through one router and write each token's experts and gates",
    async () => (await import("./commands/route.ts")).routeCommand,
  ),
  command(
    "measure",
    "Report the load, idle and rank metrics of what a real model did, from recorded choices or loads",
    async () => (await import("./commands/measure.ts")).measureCommand,
  ),
  command(
    "optimum",
    "Print the best total score that any assignment within the capacity can have, as JSON, a line per step",
    async () => (await import("./commands/optimum.ts")).optimumCommand,
  ),
  command(
    "compare <folders..>",
    "Show the metrics of two or more results side by side, with their differences to the first",
    async () => (await import("./commands/compare.ts")).compareCommand,
  ),
  command(
    "check <folder>",
    "Fail if results are worse than a baseline or break the limits of a gate, for regression tests",
    async () => (await import("./commands/check.ts")).checkCommand,
  ),
  command(
    "report <folder>",
    "Write an HTML page with pictures and all figures of a folder that run, sweep or measure wrote",
    async () => (await import("./commands/report.ts")).reportCommand,
  ),
  command(
    "bench",
    "Measure the kernels and a whole step of every router on this machine",
    async () => (await import("./commands/bench.ts")).benchCommand,
  ),
  command(
    "validate <scenario>",
    "Check a scenario, every cell of its sweep, and the header of the recorded file it names, without running it",
    async () => (await import("./commands/validate.ts")).validateCommand,
  ),
  command(
    "schema",
    "Print the JSON Schema of a scenario file, for editors",
    async () => (await import("./commands/schema.ts")).schemaCommand,
  ),
  command(
    "list <subject>",
    "List routers, streams or metrics with their parameters, defaults and sources",
    async () => (await import("./commands/list.ts")).listCommand,
  ),
];

/** A command as `--help` lists it. */
interface Command {
  readonly name: string;
  /** Its name and positional words, as yargs takes them. */
  readonly usage: string;
  /** Adds it to `parser`: with its options and its work if `whole`, else by what it is called and does. */
  addTo(parser: Argv<CommonArguments>, whole: boolean): Promise<void>;
}

/** @param usage the command's name and positional words, as yargs takes them */
function command<Arguments>(
  usage: string,
  describe: string,
  load: () => Promise<CommandModule<CommonArguments, Arguments>>,
): Command {
  return {
    name: usage.split(" ")[0],
    usage,
    async addTo(parser, whole) {
      if (whole) parser.command({ ...(await load()), command: usage, describe });
      else parser.command(usage, describe);
    },
  };
}

/** What yargs has besides its types: the options that the command it parsed requires. */
interface WithDemandedOptions {
  getDemandedOptions(): Readonly<Record<string, unknown>>;
}

/** By the name of a command, how it is called. */
const usages = new Map(commands.map(({ name, usage }) => [name, usage]));

/** Runs `moesim` with `words`, the command line without the program's name, and returns its exit code. */
export async function runProgram(words: readonly string[]): Promise<number> {
  try {
    await (await createParser(words)).parseAsync();
    return exitCodes.done;
  } catch (error) {
    if (error instanceof CheckFailed) return exitCodes.failedCheck;
    return reportError(error, words.includes("--verbose"), (text) => writeLines(process.stderr, text));
  }
}

async function createParser(words: readonly string[]): Promise<Argv<CommonArguments>> {
  const parser = yargs(Array.from(words))
    .scriptName("moesim")
    .usage("$0 <command>\n\nSimulates how Mixture-of-Experts routers spread tokens over experts.")
    .option("quiet", { type: "boolean", default: false, describe: "Print nothing but errors, warnings and JSON" })
    .option("json", { type: "boolean", default: false, describe: "Print JSON for scripts, and nothing else" })
    .option("verbose", { type: "boolean", default: false, describe: "Print stack traces with errors" })
    .epilogue(programEpilogue)
    .demandCommand(1, "Name a command; moesim --help lists them.")
    .recommendCommands()
    .strict()
    .version(version)
    .help()
    .alias("help", "h")
    .check((values, options) => checkOptionValues(values, options as unknown as KnownOptions, words), true)
    // What it says is read below, and the help around it is English.
    .locale("en")
    .wrap(Math.min(mostHelpColumns, columnsOf(process.stdout)))
    .fail((message, error) => {
      // A YError says no more than the message.
      if (error !== undefined && error !== null && error.name !== "YError") throw error;
      const required = Object.keys((parser as unknown as WithDemandedOptions).getDemandedOptions());
      throw new InputError(parsingProblem(message, words, usages, required));
    });
  for (const { name, addTo } of commands) await addTo(parser, words.includes(name));
  parser.command(completionCommand(parser)).completion(hiddenCompletionCommand, false, completeWords);
  return parser;
}

import "../node/platform.ts";
import yargs, { type Argv, type CommandModule } from "yargs";
import { InputError } from "../core/input-error.ts";
import { version } from "../core/version.ts";
import { checkOptionValues, type KnownOptions, parsingProblem } from "./command-line-problems.ts";
import { completeWords, completionCommand } from "./commands/completion.ts";
import { type CommonArguments, pluginOption } from "./common-options.ts";
import { CheckFailed, exitCodes, reportError } from "./exit-codes.ts";
import { programEpilogue } from "./help.ts";
import { columnsOf, writeLines } from "./terminal.ts";

/** Maximum characters in a line of help: longer lines are hard to read. */
const mostHelpColumns = 110;

/** Hidden: yargs demands a completion command of its own, but it differs from ours and prints no help. */
const hiddenCompletionCommand = "completion-script";

/** Every command, in the order of `--help`. The module of a command is loaded only if the command line names it. */
const commands: readonly Command[] = [
  command(
    "run <scenario>",
    "Run all routers of a scenario; print a table, write CSV files",
    async () => (await import("./commands/run.ts")).runCommand,
  ),
  command(
    "sweep <scenario>",
    "Run every combination of a scenario's `sweep` and `seeds`; recommend one",
    async () => (await import("./commands/sweep.ts")).sweepCommand,
  ),
  command(
    "merge <folders..>",
    "Make one folder of the shards of a sweep, which `sweep --shard` wrote",
    async () => (await import("./commands/merge.ts")).mergeCommand,
  ),
  command(
    "worker",
    "Run cells of sweeps from a queue, for `sweep --queue` on any machine",
    async () => (await import("./commands/worker.ts")).workerCommand,
  ),
  command(
    "export <scenario>",
    "Write the logits of a scenario's stream to a .npy file",
    async () => (await import("./commands/export.ts")).exportCommand,
  ),
  command(
    "route",
    "Route a file of logits; write each token's experts and gates",
    async () => (await import("./commands/route.ts")).routeCommand,
  ),
  command(
    "measure [paths..]",
    "Measure a real model's balance, by layer, from a file of any system",
    async () => (await import("./commands/measure.ts")).measureCommand,
  ),
  command(
    "diagnose <paths..>",
    "Say what is wrong with each layer of a recording, and what would help",
    async () => (await import("./commands/diagnose.ts")).diagnoseCommand,
  ),
  command(
    "optimum",
    "Print the best total score within the capacity, as JSON per step",
    async () => (await import("./commands/optimum.ts")).optimumCommand,
  ),
  command(
    "frontier <source>",
    "Find the proven price of balance: the best score at each capacity",
    async () => (await import("./commands/frontier.ts")).frontierCommand,
  ),
  command(
    "place <paths..>",
    "Place experts on GPUs, with replicas; print the slowdown and a proven bound",
    async () => (await import("./commands/place.ts")).placeCommand,
  ),
  command(
    "compare <folders..>",
    "Compare the metrics of two or more results side by side",
    async () => (await import("./commands/compare.ts")).compareCommand,
  ),
  command(
    "check <folder>",
    "Fail if results are worse than a baseline or break a gate's limits",
    async () => (await import("./commands/check.ts")).checkCommand,
  ),
  command(
    "report <folder>",
    "Write results as an HTML page with pictures",
    async () => (await import("./commands/report.ts")).reportCommand,
  ),
  command(
    "explore [path]",
    "Show a page on which the simulator runs: move sliders and watch the loads",
    async () => (await import("./commands/explore.ts")).exploreCommand,
  ),
  command(
    "bench",
    "Time the kernels and a whole step of every router on this machine",
    async () => (await import("./commands/bench.ts")).benchCommand,
  ),
  command(
    "validate <scenario>",
    "Check a scenario, its sweep and its recorded file without running it",
    async () => (await import("./commands/validate.ts")).validateCommand,
  ),
  command(
    "schema",
    "Print the JSON Schema of a scenario file, for editors",
    async () => (await import("./commands/schema.ts")).schemaCommand,
  ),
  command(
    "list <subject>",
    "List routers, streams, metrics or models with their parameters and sources",
    async () => (await import("./commands/list.ts")).listCommand,
  ),
];

/** The commands that take `--plugin`: those that route, and those that show kinds, metrics or results. */
const pluginCommands = new Set([
  "run",
  "sweep",
  "merge",
  "worker",
  "export",
  "route",
  "frontier",
  "compare",
  "check",
  "report",
  "validate",
  "schema",
  "list",
]);

/** A command as `--help` lists it. */
interface Command {
  readonly name: string;
  /** The command's name and positional arguments, in yargs' syntax. */
  readonly usage: string;
  /** Adds the command to `parser`, with its options and handler only if `whole`. */
  addTo(parser: Argv<CommonArguments>, whole: boolean): Promise<void>;
}

/** @param usage the command's name and positional arguments, in yargs' syntax */
function command<Arguments>(
  usage: string,
  describe: string,
  load: () => Promise<CommandModule<CommonArguments, Arguments>>,
): Command {
  const name = usage.split(" ")[0];
  return {
    name,
    usage,
    async addTo(parser, whole) {
      if (!whole) parser.command(usage, describe);
      else if (pluginCommands.has(name)) parser.command(withPlugins({ ...(await load()), command: usage, describe }));
      else parser.command({ ...(await load()), command: usage, describe });
    },
  };
}

/** Adds `--plugin` to the options of `module`. */
function withPlugins<Arguments>(
  module: CommandModule<CommonArguments, Arguments>,
): CommandModule<CommonArguments, Arguments> {
  const { builder } = module;
  if (typeof builder !== "function") return module;
  return {
    ...module,
    // Not asynchronous: yargs would not pass its errors on to `fail`.
    builder(parser) {
      builder(parser);
      return parser.option("plugin", pluginOption) as unknown as Argv<Arguments>;
    },
  };
}

/**
 * Loads what `--plugin` names, before the command's own module is loaded and its options are known: `--router` allows the kinds
 * that there are then. Throws `InputError`.
 */
async function loadPlugins(words: readonly string[]): Promise<void> {
  if (!words.some((word) => word.startsWith("--plugin"))) return;
  if (!words.some((word) => pluginCommands.has(word))) return;
  const { Parser } = await import("yargs/helpers");
  const { plugin = [] } = Parser(Array.from(words), {
    array: ["plugin"],
    string: ["plugin"],
    configuration: { "greedy-arrays": false },
  }) as { readonly plugin?: readonly string[] };
  const { loadPlugin } = await import("../node/plugins.ts");
  // yargs refuses options without a value.
  for (const file of plugin) if (file !== "") await loadPlugin(file);
}

/** Methods of yargs that its types lack. */
interface UntypedMethods {
  /** The required options of the parsed command. */
  getDemandedOptions(): Readonly<Record<string, unknown>>;
  getInternalMethods(): { getUsageInstance(): { cacheHelpMessage: () => void } };
}

/** Usage of each command, by its name. */
const usages = new Map(commands.map(({ name, usage }) => [name, usage]));

/** Runs `moesim` with `words`, the command line without the program's name, and returns its exit code. */
export async function runProgram(words: readonly string[]): Promise<number> {
  try {
    await loadPlugins(words);
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
    .option("quiet", { type: "boolean", default: false, describe: "Print only errors, warnings and JSON" })
    .option("json", { type: "boolean", default: false, describe: "Print only JSON, for scripts" })
    .option("verbose", { type: "boolean", default: false, describe: "Print stack traces of errors" })
    .epilogue(programEpilogue)
    .demandCommand(1, "no command given; moesim --help lists them")
    .recommendCommands()
    .strict()
    .version(version)
    .help()
    .alias("help", "h")
    .check((values, options) => checkOptionValues(values, options as unknown as KnownOptions, words), true)
    // `parsingProblem` reads yargs' messages, and our help is English.
    .locale("en")
    .wrap(Math.min(mostHelpColumns, columnsOf(process.stdout)))
    .fail((message, error) => {
      // A YError holds no more than the message.
      if (error !== undefined && error !== null && error.name !== "YError") throw error;
      const required = Object.keys(untyped.getDemandedOptions());
      throw new InputError(parsingProblem(message, words, usages, required));
    });
  const untyped = parser as unknown as UntypedMethods;
  // After it has called a command's handler, yargs renders the command's help in case the handler fails. We never print help
  // then, and rendering takes longer than parsing.
  untyped.getInternalMethods().getUsageInstance().cacheHelpMessage = () => undefined;
  for (const { name, addTo } of commands) await addTo(parser, words.includes(name));
  parser.command(completionCommand(parser)).completion(hiddenCompletionCommand, false, completeWords);
  return parser;
}

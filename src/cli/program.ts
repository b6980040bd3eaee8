import yargs from "yargs";
import { escapeUnprintableInLines } from "../core/escape-unprintable.ts";
import { InputError } from "../core/input-error.ts";
import { version } from "../version.ts";
import { benchCommand } from "./bench.ts";
import { checkCommand } from "./check.ts";
import { CheckFailed } from "./check-failed.ts";
import { checkOptionValues, type KnownOptions, parsingProblem } from "./command-line-problems.ts";
import { compareCommand } from "./compare.ts";
import { completeWords, completionCommand } from "./completion.ts";
import { exportCommand } from "./export.ts";
import { programEpilogue } from "./help.ts";
import { listCommand } from "./list.ts";
import { measureCommand } from "./measure.ts";
import { optimumCommand } from "./optimum.ts";
import { reportCommand } from "./report.ts";
import { routeCommand } from "./route.ts";
import { runCommand } from "./run.ts";
import { schemaCommand } from "./schema.ts";
import { sweepCommand } from "./sweep.ts";
import { columnsOf } from "./terminal.ts";
import { validateCommand } from "./validate.ts";

/**
 * Done; a check failed; the input is at fault; the program is; what was printed could not be written (the last two as in
 * sysexits.h).
 */
export const exitCodes = { done: 0, failedCheck: 1, badInput: 2, internalError: 70, outputError: 74 } as const;

/** Characters a line of help at most: longer ones are hard to read. */
const mostHelpColumns = 110;

/** A command that yargs wants for itself and that nobody sees: its own is not like ours, and prints no help. */
const hiddenCompletionCommand = "completion-script";

/** Runs `moesim` with `words`, the command line without the program's name, and returns its exit code. */
export async function runProgram(words: readonly string[]): Promise<number> {
  const parser = yargs(Array.from(words))
    .scriptName("moesim")
    .usage("$0 <command>\n\nSimulates how Mixture-of-Experts routers spread tokens over experts.")
    .option("quiet", { type: "boolean", default: false, describe: "Print nothing but errors, warnings and JSON" })
    .option("json", { type: "boolean", default: false, describe: "Print JSON for scripts, and nothing else" })
    .option("verbose", { type: "boolean", default: false, describe: "Print stack traces with errors" })
    .command(runCommand)
    .command(sweepCommand)
    .command(exportCommand)
    .command(routeCommand)
    .command(measureCommand)
    .command(optimumCommand)
    .command(compareCommand)
    .command(checkCommand)
    .command(reportCommand)
    .command(benchCommand)
    .command(validateCommand)
    .command(schemaCommand)
    .command(listCommand)
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
      if (error !== undefined && error !== null) throw error;
      throw new InputError(parsingProblem(message, words));
    });
  parser.command(completionCommand(parser)).completion(hiddenCompletionCommand, false, completeWords);
  try {
    await parser.parseAsync();
    return exitCodes.done;
  } catch (error) {
    if (error instanceof CheckFailed) return exitCodes.failedCheck;
    return reportError(error as Error, words.includes("--verbose"));
  }
}

function reportError(error: Error, verbose: boolean): number {
  // yargs throws errors of its own for words it cannot make sense of.
  const isBadInput = error instanceof InputError || error.name === "YError";
  const message = isBadInput ? error.message : `internal error: ${error.message}`;
  process.stderr.write(`moesim: ${escapeUnprintableInLines(message)}\n`);
  if (verbose) process.stderr.write(`${error.stack}\n`);
  else if (!isBadInput) process.stderr.write("This is a fault of moesim. --verbose shows where it happened.\n");
  return isBadInput ? exitCodes.badInput : exitCodes.internalError;
}

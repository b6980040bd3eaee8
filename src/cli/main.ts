#!/usr/bin/env node
// Nothing is imported here that imports a package: if one is missing or broken, Node exits with 1, the code of a failed
// check, unless the handlers below are in place.
import { exitCodes, reportError } from "./exit-codes.ts";

const words = process.argv.slice(2);
const isVerbose = words.includes("--verbose");

process.on("uncaughtException", (error) => process.exit(reportError(error, isVerbose)));
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // The reader of a pipe went away (`moesim list routers | head`), which is no fault: the program ends as it would have.
  if (error.code === "EPIPE") return;
  process.stderr.write(`moesim: standard output: ${error.message}\n`);
  process.exit(exitCodes.outputError);
});
// An error that cannot be printed still has its exit code.
process.stderr.on("error", () => undefined);

try {
  const { runProgram } = await import("./program.ts");
  process.exitCode = await runProgram(words);
} catch (error) {
  process.exitCode = reportError(error, isVerbose);
}

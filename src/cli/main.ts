#!/usr/bin/env node
// This file imports nothing that imports a package: if a package is missing or broken before the handlers below are in place,
// Node exits with 1, the code of a failed check.
import { exitCodes, reportError } from "./exit-codes.ts";

const words = process.argv.slice(2);
const isVerbose = words.includes("--verbose");

process.on("uncaughtException", (error) => process.exit(reportError(error, isVerbose)));
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // The reader of a pipe is gone (`moesim list routers | head`): not an error, so the program ends as usual.
  if (error.code === "EPIPE") return;
  process.stderr.write(`moesim: standard output: cannot be written: ${error.message}\n`);
  process.exit(exitCodes.outputError);
});
// An error that cannot be printed still sets the exit code.
process.stderr.on("error", () => undefined);

try {
  const { runProgram } = await import("./program.ts");
  process.exitCode = await runProgram(words);
} catch (error) {
  process.exitCode = reportError(error, isVerbose);
}

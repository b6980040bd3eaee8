#!/usr/bin/env node
import { hideBin } from "yargs/helpers";
import { exitCodes, runProgram } from "./program.ts";

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // The reader of a pipe went away (`moesim list routers | head`): nothing is left to do.
  if (error.code === "EPIPE") process.exit();
  process.stderr.write(`moesim: standard output: ${error.message}\n`);
  process.exit(exitCodes.outputError);
});
process.exitCode = await runProgram(hideBin(process.argv));

#!/usr/bin/env node
import { hideBin } from "yargs/helpers";
import { runProgram } from "./program.ts";

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // The reader of a pipe went away (`moesim list routers | head`): nothing is left to do.
  if (error.code === "EPIPE") process.exit();
  throw error;
});
process.exitCode = await runProgram(hideBin(process.argv));

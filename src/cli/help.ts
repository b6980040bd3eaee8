const exitCodes = `Exit codes:
  0   done
  1   a check failed
  2   bad input: the message names the file, field or option and what is allowed;
      or files that cannot be written: the message says which and why
  70  a fault of moesim
  74  what was printed could not be written
  130, 143  stopped by Ctrl-C or SIGTERM; no file is half-written`;

/** What stands below the help of the program itself. */
export const programEpilogue = `moesim <command> --help tells more of each.

${exitCodes}`;

/** What stands below a command's help: the files it writes, a line each in the form `name  what is in it`, if any. */
export function epilogue(files: readonly string[] = []): string {
  return files.length === 0 ? exitCodes : `Files:\n${files.map((line) => `  ${line}`).join("\n")}\n\n${exitCodes}`;
}

/** Commands by what they are for, as yargs takes examples: each under its purpose, and whole up to 76 columns. */
export function examples(commands: Readonly<Record<string, string>>): [string][] {
  return Object.entries(commands).map(([purpose, command]) => [`# ${purpose}\n${command}`]);
}

/** The files of one run, as `run` writes them and `sweep` for each cell. */
export const runFiles = [
  "summary.csv      a row per router: the metrics of the run",
  "steps.csv        a row per router and step",
  "loads.csv        the load of each expert, on at most `loadSamples` steps drawn by the seed",
  "diagnostics.csv  what else there is per step",
  "timing.csv       how long routing took, and training where there is any",
  "run.json         the whole scenario, versions, start and end: all that is needed to run it again",
] as const;

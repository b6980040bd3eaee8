const exitCodes = `Exit codes:
  0   done
  1   a check failed
  2   bad input, or a file cannot be written; the message says what to change
  70  internal error
  74  cannot write to standard output
  130, 143  interrupted by Ctrl-C or SIGTERM; no file is half-written`;

/** The text below the help of the program itself. */
export const programEpilogue = `moesim <command> --help explains a command.

${exitCodes}`;

/** Returns the text below a command's help: the files it writes, one a line as `name  what is in it`, and exit codes. */
export function epilogue(files: readonly string[] = []): string {
  return files.length === 0 ? exitCodes : `Files:\n${files.map((line) => `  ${line}`).join("\n")}\n\n${exitCodes}`;
}

/** Converts command lines by purpose to yargs' examples: each below its purpose, on one line up to 76 columns. */
export function examples(commands: Readonly<Record<string, string>>): [string][] {
  return Object.entries(commands).map(([purpose, command]) => [`# ${purpose}\n${command}`]);
}

/** The files of one run, which `run` writes, and `sweep` for each cell. */
export const runFiles = [
  "summary.csv      metrics of the run, a row per router",
  "layers.csv       metrics of each layer, if there are several; summary.csv then has means",
  "steps.csv        metrics of each step, a row per router and step",
  "loads.csv        load of each expert, on up to `loadSamples` steps",
  "gpus.csv         load of each GPU, before and after, if the scenario places experts",
  "diagnostics.csv  further metrics of each step",
  "timing.csv       time that routing took, and training if any",
  "run.json         scenario, versions, start and end: enough to repeat the run",
] as const;

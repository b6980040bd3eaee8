import { cpus } from "node:os";
import type { CommandModule } from "yargs";
import { benchmarkNames, runBenchmarks } from "../../node/run/benchmarks.ts";
import { type CommonArguments, optionGroups, positiveInteger } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { createProgress } from "../progress.ts";
import { printJson } from "../terminal.ts";
import { formatTable } from "../text/table.ts";

interface BenchArguments extends CommonArguments {
  tokens: number;
  experts: number;
  "top-k": number;
  only?: string[] | undefined;
  "time-ms": number;
}

export const benchCommand: CommandModule<CommonArguments, BenchArguments> = {
  builder: (yargs) =>
    yargs
      .option("tokens", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        default: 8192,
        describe: "Tokens in the batch",
      })
      .option("experts", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        default: 256,
        describe: "Number of experts",
      })
      .option("top-k", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        default: 8,
        describe: "Experts per token",
      })
      .option("only", {
        type: "string",
        group: optionGroups.computation,
        array: true,
        requiresArg: true,
        choices: benchmarkNames,
        describe: "Benchmarks to run",
        defaultDescription: "all",
      })
      .option("time-ms", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 1000,
        describe: "Milliseconds to repeat each benchmark",
      })
      .example(
        examples({
          "Run all at 8192 tokens × 256 experts, top-8, in half a minute": "$0 bench",
          "Time two routers at another size, for a script": "$0 bench --only topk-step alf-lb-step --experts 64 --json",
        }),
      )
      .epilogue(epilogue()),
  handler: bench,
};

async function bench(options: BenchArguments): Promise<void> {
  const { json, only } = options;
  const tokens = positiveInteger("tokens", options.tokens);
  const experts = positiveInteger("experts", options.experts);
  const topK = positiveInteger("top-k", options["top-k"]);
  const timeMs = positiveInteger("time-ms", options["time-ms"]);
  const progress = createProgress(only?.length ?? benchmarkNames.length, "benchmarks", options.quiet || json);
  const results = await runBenchmarks({
    tokens,
    experts,
    topK,
    only: only ?? null,
    timeMs,
    onProgress: progress.update,
  }).finally(() => progress.stop());
  if (json) {
    const entries = results.map(({ name, medianMs }) => ({
      name,
      tokens,
      experts,
      top_k: topK,
      threads: 1,
      median_ms: medianMs,
    }));
    printJson(entries);
    return;
  }
  if (options.quiet) return;
  process.stdout.write(
    `${tokens} tokens × ${experts} experts, top-${topK}, one thread · ${cpus()[0]?.model ?? "unknown processor"} · Node ${process.version}\n\n`,
  );
  const header = ["benchmark", "median\nms", "minimum\nms", "deviation\nms", "repeats", "million\ntokens/s"];
  const rows = results.map(({ name, medianMs, leastMs, deviationMs, repeats }) => [
    name,
    medianMs,
    leastMs,
    deviationMs,
    repeats,
    tokens / medianMs / 1000,
  ]);
  process.stdout.write(`${formatTable(header, rows)}\n`);
}

import { cpus } from "node:os";
import type { RunnerTestSuite } from "vitest";
import type { Reporter, TestModule, TestSuite } from "vitest/node";
import { formatTable } from "../src/cli/text/table.ts";

/** The end of the name of a group of kernels, and of the one that measures their twins in plain TypeScript. */
const kernelsSuffix = ", wasm";
const twinsSuffix = ", reference";

/** The times of one benchmark in milliseconds. */
interface Times {
  readonly name: string;
  readonly median: number;
  readonly min: number;
  readonly p75: number;
  readonly sampleCount: number;
}

/**
 * Prints a table per group of benchmarks: the median time, the least, the third quartile, and for kernels how many times
 * longer their twins in plain TypeScript take in the same run.
 */
export default class MedianReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    process.stdout.write(`${cpus()[0].model} · Node ${process.version} · one thread\n`);
    const groups = new Map<string, readonly Times[]>();
    for (const module of modules) {
      for (const suite of module.children.allSuites()) groups.set(suite.name, timesOf(suite));
    }
    for (const [name, times] of groups) {
      const twins = groups.get(name.replace(kernelsSuffix, twinsSuffix));
      process.stdout.write(`\n${name}\n${tableOf(times, name.endsWith(kernelsSuffix) ? twins : undefined)}\n`);
    }
  }
}

/** Vitest keeps them in the tasks behind what it shows to reporters. */
function timesOf(suite: TestSuite): Times[] {
  const { tasks } = (suite as unknown as { task: RunnerTestSuite }).task;
  return tasks.flatMap(({ result }) => {
    const times = (result as { benchmark?: Times } | undefined)?.benchmark;
    return times === undefined ? [] : [times];
  });
}

function tableOf(times: readonly Times[], twins: readonly Times[] | undefined): string {
  const header = ["", "median\nms", "least\nms", "third quartile\nms", "repeats"];
  const rows = times.map(({ name, median, min, p75, sampleCount }) => {
    const row = [name, median, min, p75, sampleCount];
    const twin = twins?.find((other) => other.name === name);
    return twins === undefined ? row : [...row, twin === undefined ? "" : twin.median / median];
  });
  return formatTable(twins === undefined ? header : [...header, "twin takes\ntimes as long"], rows);
}

import { Bench } from "tinybench";
import { type Assignment, expertCapacity } from "../../core/assignment.ts";
import { InputError } from "../../core/input-error.ts";
import { createKernels } from "../../core/kernels/index.ts";
import { findRouterKind, routerKinds } from "../../core/routers/index.ts";
import { resolveScenario } from "../../core/scenario/load.ts";
import { createRouter } from "../../core/simulation/router-run.ts";
import { openStream } from "../../core/simulation/simulation.ts";
import { createAssignmentSolver, mostAssignmentExperts } from "../../core/transport/assignment/exact-assignment.ts";

/** What to measure, at which size, and for how long. */
export interface BenchmarkOptions {
  readonly tokens: number;
  readonly experts: number;
  readonly topK: number;
  /** Which of {@link benchmarkNames} to measure, in any order; null for all. */
  readonly only: readonly string[] | null;
  /** Milliseconds to repeat each for; at least three repeats. */
  readonly timeMs: number;
  /** Called before each benchmark with the number of finished ones. */
  readonly onProgress: (done: number) => void;
}

/** The time that a piece of work takes on one thread, in milliseconds. */
export interface BenchmarkResult {
  readonly name: string;
  readonly medianMs: number;
  readonly leastMs: number;
  /** Median absolute deviation from the median. */
  readonly deviationMs: number;
  readonly repeats: number;
}

const leastRepeats = 3;

/** Router options that make every step do what the benchmark's name says. */
const routerOptions: Readonly<Record<string, object>> = {
  ssr: { select: { mode: "every", n: 1 }, cost: "logits", epsilon: 1, maxIterations: 3 },
};

/** The names of all benchmarks: two kernels, a step of every router from logits to gates and loads, and the optimum. */
export const benchmarkNames: readonly string[] = [
  "sinkhorn-sweep",
  "softmax",
  ...routerKinds.map(({ kind }) => `${kind}-step`),
  "optimum",
];

/**
 * Measures the benchmarks one by one on a batch of the stream `clusters`, each with its own memory. `optimum` starts from
 * prices of 0 every time; `ssr-step` is a selected step of 3 sweeps over the logits, with ε = 1. Throws `InputError` for
 * impossible sizes.
 */
export async function runBenchmarks(options: BenchmarkOptions): Promise<BenchmarkResult[]> {
  const { only, timeMs, onProgress } = options;
  const results: BenchmarkResult[] = [];
  for (const name of benchmarkNames.filter((name) => only?.includes(name) ?? true)) {
    onProgress(results.length);
    const { run } = await prepareBenchmark(name, options);
    results.push(await measure(name, run, timeMs));
  }
  return results;
}

async function measure(name: string, work: () => void, timeMs: number): Promise<BenchmarkResult> {
  const bench = new Bench({ time: timeMs, iterations: leastRepeats, warmupTime: timeMs / 4, warmupIterations: 1 });
  bench.add(name, work);
  const [{ result }] = await bench.run();
  if (result.state === "errored") throw result.error;
  if (result.state !== "completed") throw new Error(`${name}: the measurement was ${result.state}`);
  const { p50, min, mad, samplesCount } = result.latency;
  return { name, medianMs: p50, leastMs: min, deviationMs: mad, repeats: samplesCount };
}

/** A benchmark whose memory is allocated. */
export interface PreparedBenchmark {
  /** `[tokens × experts]`. */
  readonly logits: Float32Array;
  /** The work that is timed. */
  readonly run: () => void;
  /** The results of the last run, by name; overwritten by the next. */
  readonly result: () => Readonly<Record<string, ArrayLike<number>>>;
}

/** Prepares the benchmark `name`, one of {@link benchmarkNames}. Throws `InputError` for impossible sizes. */
export async function prepareBenchmark(
  name: string,
  { tokens, experts, topK }: Pick<BenchmarkOptions, "tokens" | "experts" | "topK">,
): Promise<PreparedBenchmark> {
  const kind = findRouterKind(name.replace(/-step$/, ""))?.kind ?? "topk";
  const written = {
    name,
    steps: 1,
    tokens,
    experts,
    topK,
    stream: { kind: "clusters" },
    routers: [{ kind, ...routerOptions[kind] }],
    regret: { every: 0 },
  };
  const scenario = await resolveScenario(written, "bench");
  const kernels = createKernels();
  const stream = await openStream(scenario, kernels);
  const { logits } = (await stream.next())!;
  switch (name) {
    case "sinkhorn-sweep": {
      const gibbs = kernels.allocateFloat32(tokens * experts);
      const columnScaling = kernels.allocateFloat32(experts).fill(1);
      const columnSum = kernels.allocateFloat64(experts);
      kernels.gibbsSweep(logits, 1, tokens, experts, gibbs, columnSum);
      const run = () => kernels.sinkhornSweep(gibbs, columnScaling, tokens, experts, columnSum);
      return { logits, run, result: () => ({ columns: columnSum }) };
    }
    case "softmax": {
      const scores = kernels.allocateFloat32(tokens * experts);
      const run = () => kernels.scores(logits, "softmax", tokens, experts, scores);
      return { logits, run, result: () => ({ scores }) };
    }
    case "optimum": {
      if (experts > mostAssignmentExperts) {
        throw new InputError(`optimum: ${experts} experts; it is found for at most ${mostAssignmentExperts}`);
      }
      const scores = kernels.allocateFloat64(tokens * experts);
      kernels.affinities(logits, "softmax", tokens, experts, scores);
      const capacity = expertCapacity(tokens, scenario);
      const solver = createAssignmentSolver(kernels, tokens, experts, topK, { gap: 0 });
      const run = () => {
        solver.price.fill(0);
        solver.solve({ scores, tokens, capacity });
      };
      return { logits, run, result: () => ({ price: solver.price }) };
    }
    default: {
      const router = createRouter(scenario, scenario.routers[0], kernels);
      let step = 0;
      let assignment: Assignment;
      const run = () => {
        assignment = router.route({ step: step++, tokens, experts, logits }).assignment;
      };
      const result = () => {
        const { expert, gate, load } = assignment;
        return { expert, gate, load };
      };
      return { logits, run, result };
    }
  }
}

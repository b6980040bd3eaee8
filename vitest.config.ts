import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * What `npm test`, a newcomer's check of a few minutes, leaves to `npm run test:all`: files that start dozens of programs,
 * train, open pages or prove optima on many sizes. Every area keeps files besides these.
 */
const slowTests = [
  "test/browser/**",
  "test/docs.test.ts",
  "test/cli/{backend,bench,check,checkpoints,faults,full-disk,output,report,rerun,route,run,run-workers}.test.ts",
  "test/cli/{command-line,list-schema-validate,optimum,shared-folder,start-up,sweep,swept-scenario}.test.ts",
  "test/cli/{diagnose,explore,export,measure,plugins,queue,recording-doc,regression-tests-doc,terminal,training}.test.ts",
  "test/core/kernels/{select,tensor}.test.ts",
  "test/core/library/{docs,examples,package,simulate}.test.ts",
  "test/page/report-page.test.ts",
  "test/core/pictures/index.test.ts",
  "test/core/placement/balanced.test.ts",
  "test/core/routers/tensor-kernels.test.ts",
  "test/core/streams/training/training.test.ts",
  "test/theory/{approximate-balance,logarithmic-regret,monotone-improvement}.test.ts",
  "test/core/transport/*/{column-optimum,exact-assignment,hindsight-bias,sparsity-constrained}.test.ts",
];

/** These take longest: half a minute each, or more. */
const longestTests = [
  "browser/report",
  "cli/terminal",
  "cli/start-up",
  "cli/checkpoints",
  "cli/queue",
  "cli/faults",
  "cli/training",
];

/** Run in shared processes: loading the core again for each file takes longer than most of them. */
const sharedTests = ["test/core/**/*.test.ts", "test/theory/**/*.test.ts"];

/** Need a process of their own: they start programs, measure memory, add plugins, or choose the TensorFlow.js backend. */
const isolatedTests = [
  "test/core/formats/{damaged-files,parquet/parquet}.test.ts",
  "test/core/kernels/tensor.test.ts",
  "test/core/library/**",
  "test/core/routers/tensor-kernels.test.ts",
  "test/core/scenario/plugins.test.ts",
  "test/{browser,cli,node,page}/**/*.test.ts",
  "test/*.test.ts",
];

/**
 * Starts the longest files first, so that none is left over when all others are done, and then all that share a process:
 * a process is not kept for later files if one that needs its own comes between.
 */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rankOf = ({ moduleId, project }: TestSpecification) => {
      if (longestTests.some((name) => moduleId.endsWith(`/${name}.test.ts`))) return 0;
      return project.name === "core" ? 1 : 2;
    };
    return (await super.sort(files)).sort((a, b) => rankOf(a) - rankOf(b));
  }
}

export default defineConfig(({ mode }) => {
  const isQuick = mode === "quick";
  const exclude = isQuick ? slowTests : [];
  return {
    test: {
      globalSetup: ["test/support/temporary-folder.ts"],
      setupFiles: ["test/support/platform.ts"],
      env: { QUICK_TESTS: isQuick ? "1" : "" },
      // Far beyond what any takes on a quiet machine: one that others load as well is slower, not wrong.
      testTimeout: 120_000,
      hookTimeout: 120_000,
      // Many tests wait for a process of their own, so that a core left for others would stand idle.
      maxWorkers: "150%",
      sequence: { sequencer: LongestFirst },
      benchmark: { include: ["bench/**/*.bench.ts"], reporters: ["./bench/reporter.ts"] },
      projects: [
        { extends: true, test: { name: "programs", include: isolatedTests, exclude } },
        {
          extends: true,
          test: {
            name: "core",
            include: sharedTests,
            exclude: [...exclude, ...isolatedTests],
            isolate: false,
            benchmark: { include: [] },
          },
        },
      ],
    },
  };
});

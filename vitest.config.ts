import { defineConfig } from "vitest/config";

/**
 * What `npm test`, a newcomer's check of a few minutes, leaves to `npm run test:all`: files that start dozens of programs,
 * train, open pages or prove optima on many sizes. Every area keeps files besides these.
 */
const slowTests = [
  "test/browser/**",
  "test/docs.test.ts",
  "test/cli/{backend,bench,check,checkpoints,faults,full-disk,output,report,rerun,route,run,run-workers}.test.ts",
  "test/cli/{command-line,list-schema-validate,optimum,shared-folder,start-up,sweep,swept-scenario}.test.ts",
  "test/cli/{export,measure,regression-tests-doc,terminal,training}.test.ts",
  "test/core/kernels/{select,tensor}.test.ts",
  "test/core/library/{docs,examples,package,simulate}.test.ts",
  "test/page/report-page.test.ts",
  "test/core/pictures/index.test.ts",
  "test/core/routers/tensor-kernels.test.ts",
  "test/core/simulation/pass.test.ts",
  "test/core/streams/training/training.test.ts",
  "test/theory/{approximate-balance,logarithmic-regret,monotone-improvement}.test.ts",
  "test/core/transport/*/{exact-assignment,hindsight-bias,sparsity-constrained}.test.ts",
];

export default defineConfig(({ mode }) => {
  const isQuick = mode === "quick";
  return {
    test: {
      include: ["test/**/*.test.ts"],
      exclude: isQuick ? slowTests : [],
      globalSetup: ["test/support/temporary-folder.ts"],
      setupFiles: ["test/support/platform.ts"],
      env: { QUICK_TESTS: isQuick ? "1" : "" },
      // Far beyond what any takes on a quiet machine: one that others load as well is slower, not wrong.
      testTimeout: 120_000,
      hookTimeout: 120_000,
      // Many tests wait for a process of their own, so that a core left for others would stand idle.
      maxWorkers: "100%",
      benchmark: { include: ["bench/**/*.bench.ts"], reporters: ["./bench/reporter.ts"] },
    },
  };
});

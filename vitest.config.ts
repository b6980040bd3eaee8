import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/temporary-folder.ts"],
    // Far beyond what any takes on a quiet machine: one that others load as well is slower, not wrong.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Many tests wait for a process of their own, so that a core left for others would stand idle.
    maxWorkers: "100%",
    benchmark: { include: ["bench/**/*.bench.ts"], reporters: ["./bench/reporter.ts"] },
  },
});

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    // Many tests wait for a process of their own, so that a core left for others would stand idle.
    maxWorkers: "100%",
    benchmark: { include: ["bench/**/*.bench.ts"], reporters: ["./bench/reporter.ts"] },
  },
});

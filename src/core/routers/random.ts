import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createDistinctExperts } from "./parts/distinct-experts.ts";
import { randomStateSchema } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const randomOptions = z.strictObject({});

const randomRouterState = z.strictObject({ random: randomStateSchema });

/** Baseline of balance by chance: K distinct experts uniformly at random for each token, gates 1/K. */
export const randomKind = defineRouterKind({
  kind: "random",
  summary: "K distinct experts uniformly at random, gates 1/K",
  source: "baseline; Zuo et al. 2022 (THOR), arXiv 2110.04260",
  options: randomOptions,
  create({ shape, kernels, random }) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { load } = assignment;
    const distinct = createDistinctExperts(experts, topK);
    return {
      route(batch) {
        load.fill(0);
        for (let t = 0; t < batch.tokens; t++) distinct.assign(random.uint32, batch, t, assignment);
        return { assignment };
      },
      backward() {
        // The gates are constants.
      },
      state: () => ({ random: random.state() }),
      restore: (state) => random.restore(randomRouterState.parse(state).random),
    };
  },
});

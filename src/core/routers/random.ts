import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createDistinctExperts } from "./parts/distinct-experts.ts";
import { randomStateSchema } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const randomOptions = z.strictObject({});

const randomRouterState = z.strictObject({ random: randomStateSchema });

/** The baseline of balance by chance: K distinct experts uniformly at random for each token, gates 1/K. */
export const randomKind = defineRouterKind({
  kind: "random",
  summary: "K distinct experts uniformly at random, gates 1/K",
  source: "baseline; Zuo et al. 2022 (THOR), arXiv 2110.04260",
  options: randomOptions,
  create({ shape, kernels, random }) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    gate.fill(1 / topK);
    const distinct = createDistinctExperts(experts);
    return {
      route({ tokens }) {
        load.fill(0);
        for (let t = 0; t < tokens; t++) distinct.pick(random.uint32, topK, expert, t * topK);
        for (let pair = 0; pair < tokens * topK; pair++) load[expert[pair]] += 1;
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

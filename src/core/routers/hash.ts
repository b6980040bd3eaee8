import { z } from "zod";
import { goldenStep, mixWord } from "../kernels/mix-word.ts";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createDistinctExperts } from "./parts/distinct-experts.ts";
import { defineRouterKind } from "./router.ts";

const hashOptions = z.strictObject({});

const hashState = z.strictObject({ seed: z.number().int().nonnegative() });

/**
 * Hash routing: a fixed, seeded hash of the token chooses K distinct experts, gates 1/K. The paper hashes the token's
 * id. A stream of logits has no ids, so the bytes of the token's row of logits are hashed: equal rows always go to
 * equal experts, and rows that differ in any bit go to unrelated ones.
 */
export const hashKind = defineRouterKind({
  kind: "hash",
  summary: "K distinct experts by a seeded hash of the token's logits, gates 1/K",
  source: "Roller et al. 2021, arXiv 2106.04426",
  options: hashOptions,
  create({ shape, kernels, random }) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    gate.fill(1 / topK);
    const rowHash = kernels.allocateInt32(shape.tokens);
    const distinct = createDistinctExperts(experts);
    let seed = random.uint32();
    let hash = 0;
    // Steps of SplitMix make the row's hash a stream of words.
    const draw = () => {
      hash = (hash + goldenStep) | 0;
      return mixWord(hash) >>> 0;
    };
    return {
      route({ logits, tokens }) {
        kernels.hashRows(logits, seed, tokens, experts, rowHash);
        load.fill(0);
        for (let t = 0; t < tokens; t++) {
          hash = rowHash[t];
          distinct.pick(draw, topK, expert, t * topK);
          for (let slot = t * topK; slot < (t + 1) * topK; slot++) load[expert[slot]] += 1;
        }
        return { assignment };
      },
      backward() {
        // The gates are constants.
      },
      state: () => ({ seed }),
      restore: (state) => {
        seed = hashState.parse(state).seed;
      },
    };
  },
});

import { z } from "zod";
import { goldenStep, mixWord } from "../kernels/mix-word.ts";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createDistinctExperts } from "./parts/distinct-experts.ts";
import { defineRouterKind } from "./router.ts";

const hashOptions = z.strictObject({
  by: z
    .enum(["logits", "position"])
    .default("logits")
    .describe(
      "What is hashed: the token's id if the stream knows it (zipf-text), else its row of logits; or its position in the " +
        "batch, so that every batch has the same loads.",
    ),
});

const hashState = z.strictObject({ seed: z.number().int().nonnegative() });

/**
 * Hash routing: a fixed, seeded hash of the token chooses K distinct experts, with gates of 1/K. The paper hashes the token's
 * id; if the stream has no ids, the bytes of the token's row of logits are hashed, so that equal rows always go to the same
 * experts, and rows that differ in any bit go to unrelated ones. With `by: position` the token's position in its batch is
 * hashed.
 *
 * Experts that are disabled for a token are skipped; it gets the next ones that its hash chooses.
 */
export const hashKind = defineRouterKind({
  kind: "hash",
  summary: "K distinct experts by a seeded hash of the token's logits, gates 1/K",
  source: "Roller et al. 2021, arXiv 2106.04426",
  options: hashOptions,
  create({ shape, kernels, random }, { by }) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { load } = assignment;
    const rowHash = kernels.allocateInt32(shape.tokens);
    const distinct = createDistinctExperts(experts, topK);
    let seed = random.uint32();
    let hash = 0;
    // Steps of SplitMix make the row's hash a stream of words.
    const draw = () => {
      hash = (hash + goldenStep) | 0;
      return mixWord(hash) >>> 0;
    };
    return {
      route(batch) {
        const { logits, tokens, tokenId, position } = batch;
        if (by === "logits" && tokenId === undefined) kernels.hashRows(logits, seed, tokens, experts, rowHash);
        else
          for (let t = 0; t < tokens; t++)
            rowHash[t] = mixWord(seed ^ (by === "position" ? (position?.[t] ?? t) : tokenId![t]));
        load.fill(0);
        for (let t = 0; t < tokens; t++) {
          hash = rowHash[t];
          distinct.assign(draw, batch, t, assignment);
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

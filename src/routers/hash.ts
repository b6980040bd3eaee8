import { z } from "zod";
import { createAssignmentBuffers } from "./assignment-buffers.ts";
import { createDistinctExperts } from "./distinct-experts.ts";
import type { RouterKind } from "./router.ts";

const hashOptions = z.strictObject({});

export type HashOptions = z.infer<typeof hashOptions>;

const hashState = z.strictObject({ seed: z.number().int().nonnegative() });

/** The golden ratio's fraction in 32 bits, the step of SplitMix. */
const goldenStep = 0x9e3779b9;

/**
 * The finaliser of MurmurHash3 (Appleby 2011): every bit of a 32-bit word reaches every bit of the result. Signed, since
 * larger numbers would be allocated.
 */
function mix(word: number): number {
  let mixed = word;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/**
 * Hash routing: a fixed, seeded hash of the token chooses K distinct experts, gates 1/K. The paper hashes the token's
 * id. A stream of logits has no ids, so the bytes of the token's row of logits are hashed: equal rows always go to
 * equal experts, and rows that differ in any bit go to unrelated ones.
 */
export const hashKind: RouterKind<HashOptions> = {
  kind: "hash",
  summary: "K distinct experts by a seeded hash of the token's logits, gates 1/K",
  source: "Roller et al. 2021, arXiv 2106.04426",
  options: hashOptions,
  create({ shape, kernels, random }) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    gate.fill(1 / topK);
    const distinct = createDistinctExperts(experts);
    let seed = random.uint32();
    let hash = 0;
    // Steps of SplitMix make the row's hash a stream of words.
    const draw = () => {
      hash = (hash + goldenStep) | 0;
      return mix(hash) >>> 0;
    };
    return {
      route({ logits, tokens }) {
        const words = new Uint32Array(logits.buffer, logits.byteOffset, tokens * experts);
        load.fill(0);
        for (let t = 0; t < tokens; t++) {
          let rowHash = seed | 0;
          for (let word = t * experts; word < (t + 1) * experts; word++) {
            rowHash = (mix(rowHash ^ words[word]) + goldenStep) | 0;
          }
          hash = rowHash;
          distinct.pick(draw, topK, expert, t * topK);
          for (let slot = t * topK; slot < (t + 1) * topK; slot++) load[expert[slot]] += 1;
        }
        return { assignment };
      },
      state: () => ({ seed }),
      restore: (state) => {
        seed = hashState.parse(state).seed;
      },
    };
  },
};

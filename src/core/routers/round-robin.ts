import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { defineRouterKind } from "./router.ts";

const roundRobinOptions = z.strictObject({});

const roundRobinState = z.strictObject({ nextExpert: z.number().int().nonnegative() });

/**
 * Baseline of perfect balance: slots go to the experts in turn, whatever the logits, and each batch continues where the
 * last one ended. Gates 1/K. An expert that is disabled for a token loses its turn.
 */
export const roundRobinKind = defineRouterKind({
  kind: "round-robin",
  summary: "experts in turn, whatever the logits, gates 1/K",
  source: "baseline",
  options: roundRobinOptions,
  create({ shape, kernels }) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    let nextExpert = 0;
    return {
      route({ logits, tokens }) {
        load.fill(0);
        for (let token = 0; token < tokens; token++) {
          let slot = token * topK;
          const end = slot + topK;
          for (let turn = 0; turn < experts && slot < end; turn++) {
            const e = nextExpert;
            nextExpert = e + 1 < experts ? e + 1 : 0;
            if (logits[token * experts + e] === Number.NEGATIVE_INFINITY) continue;
            expert[slot] = e;
            gate[slot] = 1 / topK;
            load[e] += 1;
            slot += 1;
          }
          expert.fill(-1, slot, end);
          gate.fill(0, slot, end);
        }
        return { assignment };
      },
      backward() {
        // The gates are constants.
      },
      state: () => ({ nextExpert }),
      restore(state) {
        const saved = roundRobinState.parse(state);
        if (saved.nextExpert >= experts) {
          throw new RangeError(`The saved expert ${saved.nextExpert} is not among this router's ${experts}.`);
        }
        nextExpert = saved.nextExpert;
      },
    };
  },
});

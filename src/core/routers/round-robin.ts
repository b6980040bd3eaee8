import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { defineRouterKind } from "./router.ts";

const roundRobinOptions = z.strictObject({});

const roundRobinState = z.strictObject({ nextExpert: z.number().int().nonnegative() });

/**
 * The baseline of perfect balance: slots are dealt to the experts in turn, whatever the logits, and the turn runs on
 * from batch to batch. Gates 1/K.
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
    gate.fill(1 / topK);
    let nextExpert = 0;
    return {
      route({ tokens }) {
        load.fill(0);
        for (let pair = 0; pair < tokens * topK; pair++) {
          expert[pair] = nextExpert;
          load[nextExpert] += 1;
          nextExpert = nextExpert + 1 < experts ? nextExpert + 1 : 0;
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

import { z } from "zod";
import type { RoutingShape } from "../../assignment.ts";
import type { Kernels } from "../../kernels/kernels.ts";
import type { RouterState } from "../router.ts";

/** The options of {@link createExpertBias}, spread into the schemas of the routers that have a bias. */
export const expertBiasFields = {
  updateRule: z
    .enum(["sign", "proportional"])
    .default("sign")
    .describe("What moves the bias: the sign of targetLoad − load, or the error (targetLoad − load) / tokens itself."),
  updateRate: z.number().nonnegative().default(0.001).describe("Step size u of the bias, in units of the affinities."),
  schedule: z
    .enum(["constant", "inverse-sqrt", "inverse"])
    .default("constant")
    .describe("Step size of the n-th update, n = 1, 2, …: u, u/√n or u/n."),
  center: z.boolean().default(false).describe("Subtract the mean of the bias after each update."),
  updateEvery: z
    .number()
    .int()
    .positive()
    .default(1)
    .describe("Update on the loads summed over this many batches, as gradient accumulation does."),
};

const expertBiasOptions = z.strictObject(expertBiasFields);

export type ExpertBiasOptions = z.infer<typeof expertBiasOptions>;

const expertBiasState = z.strictObject({
  bias: z.array(z.number()),
  updates: z.number().int().nonnegative(),
  pendingLoad: z.array(z.number().int().nonnegative()),
  pendingTokens: z.number().int().nonnegative(),
  pendingBatches: z.number().int().nonnegative(),
});

/** The bias of auxiliary-loss-free load balancing, and the law that moves it. */
export interface ExpertBias {
  /** b `[experts]`, in units of the affinities, zero at first. */
  readonly values: Float64Array;
  /** Moves the bias by the `load` `[experts]` of a batch of `tokens`, which was routed with the bias before it. */
  learn(load: Int32Array, tokens: number): void;
  /** The bias as a plain array in the field `bias`, and what is pending of the next update. */
  state(): RouterState;
  /** Throws when `state` is not one of this bias: another shape, or fields missing. */
  restore(state: RouterState): void;
}

/**
 * The bias update of Wang et al. 2024 (arXiv 2408.15664, algorithm 1) with the variants that the theory of
 * arXiv 2512.03915 studies. With T tokens and loads A summed over `updateEvery` batches and L = T·K/E:
 *
 *     sign:          b_e += u_n · sign(L − A_e)
 *     proportional:  b_e += u_n · (L − A_e) / T
 */
export function createExpertBias(kernels: Kernels, shape: RoutingShape, options: ExpertBiasOptions): ExpertBias {
  const { experts, topK } = shape;
  const { updateRule, updateRate, schedule, center, updateEvery } = options;
  const values = kernels.allocateFloat64(experts);
  const pendingLoad = new Float64Array(experts);
  let pendingTokens = 0;
  let pendingBatches = 0;
  let updates = 0;

  function update(): void {
    updates += 1;
    const rate =
      schedule === "constant" ? updateRate : updateRate / (schedule === "inverse" ? updates : Math.sqrt(updates));
    const targetLoad = (pendingTokens * topK) / experts;
    for (let e = 0; e < experts; e++) {
      const missing = targetLoad - pendingLoad[e];
      values[e] += rate * (updateRule === "sign" ? Math.sign(missing) : missing / pendingTokens);
    }
    if (center) {
      let sum = 0;
      for (let e = 0; e < experts; e++) sum += values[e];
      const mean = sum / experts;
      for (let e = 0; e < experts; e++) values[e] -= mean;
    }
  }

  return {
    values,
    learn(load, tokens) {
      for (let e = 0; e < experts; e++) pendingLoad[e] += load[e];
      pendingTokens += tokens;
      pendingBatches += 1;
      if (pendingBatches < updateEvery) return;
      update();
      pendingLoad.fill(0);
      pendingTokens = 0;
      pendingBatches = 0;
    },
    state: () => ({
      bias: Array.from(values),
      updates,
      pendingLoad: Array.from(pendingLoad),
      pendingTokens,
      pendingBatches,
    }),
    restore(state) {
      const saved = expertBiasState.parse(state);
      if (saved.bias.length !== experts || saved.pendingLoad.length !== experts) {
        throw new RangeError(`The saved bias has ${saved.bias.length} experts, this router has ${experts}.`);
      }
      values.set(saved.bias);
      pendingLoad.set(saved.pendingLoad);
      ({ pendingTokens, pendingBatches, updates } = saved);
    },
  };
}

import { z } from "zod";
import type { RoutingShape } from "../../assignment.ts";
import type { Kernels } from "../../kernels/kernels.ts";
import { assignableOf, type TokenBatch } from "../../token-batch.ts";
import { counted } from "../../words.ts";
import type { OptionProblem, RouterState } from "../router.ts";

/** The options of {@link createExpertBias}, spread into the schemas of the routers that have a bias. */
export const expertBiasFields = {
  updateRule: z
    .enum(["sign", "proportional", "smebu"])
    .default("sign")
    .describe(
      "What moves the bias: the sign of targetLoad − load, the error (targetLoad − load) / tokens itself, or SMEBU's " +
        "centred momentum of tanh(kappa · (targetLoad − load) / targetLoad).",
    ),
  updateRate: z.number().nonnegative().default(0.001).describe("Step size u of the bias, in units of the affinities."),
  kappa: z.number().positive().default(2).describe("Slope κ of smebu's tanh."),
  momentum: z
    .number()
    .min(0)
    .lt(1)
    .default(0.5)
    .describe("Momentum β of smebu: weight of the previous update in the next."),
  schedule: z
    .enum(["constant", "inverse-sqrt", "inverse", "cosine"])
    .default("constant")
    .describe("Step size of the n-th update, n = 1, 2, …: u, u/√n, u/n, or u·½(1 + cos(π·n/decaySteps)), then 0."),
  decaySteps: z.number().int().positive().default(1000).describe("Updates over which the cosine schedule falls to 0."),
  center: z.boolean().default(false).describe("Subtract the mean of the bias after each update."),
  updateEvery: z
    .number()
    .int()
    .positive()
    .default(1)
    .describe("Update on the loads summed over this many batches, as gradient accumulation does."),
  freezeAfter: z
    .number()
    .int()
    .nonnegative()
    .optional()
    .describe("Batches after which the bias stays as it is, as in DeepSeek-V3's last phase; never when absent."),
  initialBias: z
    .union([z.array(z.number()), z.string().min(1)])
    .optional()
    .describe(
      "Bias before the first batch, such as a trained model's: one number per expert, or the file with one array of them " +
        "(.npy, .npz, .safetensors, .pt, .csv, .parquet); default: 0.",
    ),
};

const expertBiasOptions = z.strictObject(expertBiasFields);

export type ExpertBiasOptions = z.infer<typeof expertBiasOptions>;

/** Option names of {@link expertBiasFields} that can name a file of one number per expert. */
export const expertBiasVectors = ["initialBias"] as const;

/** Returns the options that do not fit the number of experts. */
export function expertBiasProblems(
  { initialBias }: Pick<ExpertBiasOptions, "initialBias">,
  { experts }: Pick<RoutingShape, "experts">,
): OptionProblem[] {
  if (initialBias === undefined || typeof initialBias === "string" || initialBias.length === experts) return [];
  return [
    { path: ["initialBias"], message: `${counted(initialBias.length, "number")} for ${counted(experts, "expert")}` },
  ];
}

/** Sets `bias` `[experts]` to the initial bias, if there is one. Its file must have been read: see `RouterKind.vectors`. */
export function setInitialBias(bias: Float64Array, { initialBias }: Pick<ExpertBiasOptions, "initialBias">): void {
  if (typeof initialBias === "string") throw new Error(`${initialBias}: the file of the initial bias was not read.`);
  if (initialBias !== undefined) bias.set(initialBias);
}

const expertBiasState = z.strictObject({
  bias: z.array(z.number()),
  velocity: z.array(z.number()),
  updates: z.number().int().nonnegative(),
  batches: z.number().int().nonnegative(),
  pendingLoad: z.array(z.number().int().nonnegative()),
  pendingEnabled: z.array(z.number().int().min(0).max(1)),
  pendingTokens: z.number().int().nonnegative(),
  pendingBatches: z.number().int().nonnegative(),
});

/** The bias of auxiliary-loss-free load balancing, and the rule that updates it. */
export interface ExpertBias {
  /** b `[experts]`, in units of the affinities. */
  readonly values: Float64Array;
  /** Updates the bias by the `load` `[experts]` of a batch that was routed with the current bias. */
  learn(load: Int32Array, batch: TokenBatch): void;
  /** The bias as a plain array in the field `bias`, and the pending part of the next update. */
  state(): RouterState;
  /** Throws if `state` is not a state of this bias: another shape, or missing fields. */
  restore(state: RouterState): void;
}

/**
 * The bias update of Wang et al. 2024 (arXiv 2408.15664, algorithm 1) with the variants that the theory of
 * arXiv 2512.03915 studies, and SMEBU (arXiv 2602.17004). With T tokens and loads A summed over `updateEvery` batches and
 * L = T·K/E:
 *
 *     sign:          b_e += u_n · sign(L − A_e)
 *     proportional:  b_e += u_n · (L − A_e) / T
 *     smebu:         d_e = u_n · tanh(κ · (L − A_e) / L),  d −= mean d,  m = β·m + (1 − β)·d,  b += m
 *
 * Experts that are disabled for every token take no part: they keep their bias, and all means are over the other experts.
 */
export function createExpertBias(kernels: Kernels, shape: RoutingShape, options: ExpertBiasOptions): ExpertBias {
  const { experts, topK } = shape;
  const { updateRule, updateRate, kappa, momentum, schedule, decaySteps, center, updateEvery, freezeAfter } = options;
  const values = kernels.allocateFloat64(experts);
  setInitialBias(values, options);
  const velocity = new Float64Array(experts);
  const step = new Float64Array(experts);
  const pendingLoad = new Float64Array(experts);
  const pendingEnabled = new Uint8Array(experts);
  let pendingTokens = 0;
  let pendingBatches = 0;
  let updates = 0;
  let batches = 0;

  function rate(): number {
    switch (schedule) {
      case "constant":
        return updateRate;
      case "inverse-sqrt":
        return updateRate / Math.sqrt(updates);
      case "inverse":
        return updateRate / updates;
      case "cosine":
        return updates < decaySteps ? (updateRate * (1 + Math.cos((Math.PI * updates) / decaySteps))) / 2 : 0;
    }
  }

  /** Subtracts the mean of the enabled entries of `of` from them. */
  function subtractMean(of: Float64Array, enabled: number): void {
    let sum = 0;
    for (let e = 0; e < experts; e++) if (pendingEnabled[e] === 1) sum += of[e];
    const mean = sum / enabled;
    for (let e = 0; e < experts; e++) if (pendingEnabled[e] === 1) of[e] -= mean;
  }

  function update(): void {
    updates += 1;
    const currentRate = rate();
    let enabled = 0;
    let pairs = 0;
    for (let e = 0; e < experts; e++) {
      enabled += pendingEnabled[e];
      pairs += pendingLoad[e];
    }
    if (pairs === 0) return;
    const targetLoad = enabled === experts ? (pendingTokens * topK) / experts : pairs / enabled;
    for (let e = 0; e < experts; e++) {
      if (pendingEnabled[e] === 0) continue;
      const missing = targetLoad - pendingLoad[e];
      if (updateRule === "smebu") step[e] = currentRate * Math.tanh((kappa * missing) / targetLoad);
      else values[e] += currentRate * (updateRule === "sign" ? Math.sign(missing) : missing / pendingTokens);
    }
    if (updateRule === "smebu") {
      subtractMean(step, enabled);
      for (let e = 0; e < experts; e++) {
        if (pendingEnabled[e] === 0) continue;
        velocity[e] = momentum * velocity[e] + (1 - momentum) * step[e];
        values[e] += velocity[e];
      }
    }
    if (center) subtractMean(values, enabled);
  }

  return {
    values,
    learn(load, batch) {
      batches += 1;
      if (freezeAfter !== undefined && batches > freezeAfter) return;
      for (let e = 0; e < experts; e++) pendingLoad[e] += load[e];
      const assignable = assignableOf(batch, topK);
      if (assignable === null) pendingEnabled.fill(1);
      else for (let e = 0; e < experts; e++) pendingEnabled[e] |= assignable.enabled[e];
      pendingTokens += batch.tokens;
      pendingBatches += 1;
      if (pendingBatches < updateEvery) return;
      update();
      pendingLoad.fill(0);
      pendingEnabled.fill(0);
      pendingTokens = 0;
      pendingBatches = 0;
    },
    state: () => ({
      bias: Array.from(values),
      velocity: Array.from(velocity),
      updates,
      batches,
      pendingLoad: Array.from(pendingLoad),
      pendingEnabled: Array.from(pendingEnabled),
      pendingTokens,
      pendingBatches,
    }),
    restore(state) {
      const saved = expertBiasState.parse(state);
      const lengths = [saved.bias, saved.velocity, saved.pendingLoad, saved.pendingEnabled].map(({ length }) => length);
      if (lengths.some((length) => length !== experts)) {
        throw new RangeError(`The saved bias has ${counted(saved.bias.length, "expert")}, this router has ${experts}.`);
      }
      values.set(saved.bias);
      velocity.set(saved.velocity);
      pendingLoad.set(saved.pendingLoad);
      pendingEnabled.set(saved.pendingEnabled);
      ({ pendingTokens, pendingBatches, updates, batches } = saved);
    },
  };
}

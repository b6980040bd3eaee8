import { z } from "zod";
import type { Assignment, ScoreKind } from "../../assignment.ts";
import type { Kernels } from "../../kernels/kernels.ts";
import { logScoreSlope } from "../../kernels/reference/affinity.ts";
import type { TokenBatch } from "../../token-batch.ts";
import { createScoreGradient } from "./score-gradient.ts";

/** The options of {@link createScoreGates}, spread into the schemas of the routers whose gates are affinities. */
export function scoreGateFields(renormalize: boolean) {
  return {
    renormalize: z
      .boolean()
      .default(renormalize)
      .describe(
        "Divide the gates of a token by their sum, so that they sum to 1; scores: logits, which can be negative, take the " +
          "softmax over the selected.",
      ),
    gateScale: z
      .number()
      .positive()
      .default(1)
      .describe("Factor of the gates, after the division by their sum; DeepSeek's routed scaling factor."),
  };
}

/** The options of {@link scoreGateFields}. */
export interface ScoreGateOptions {
  readonly renormalize: boolean;
  readonly gateScale: number;
}

/** The part of an assignment that gradients pass through. */
type Gates = Pick<Assignment, "slots" | "expert" | "gate">;

/**
 * Σ gate·gateGradient / Σ gate over one token's slots [first, end); 0 if all gates are 0. Gates that are weights w
 * divided by their sum have ∂loss/∂log w_s = gate_s·(gateGradient_s − this mean).
 */
export function meanGateGradient(
  gate: Float32Array | Float64Array,
  gateGradient: Float32Array,
  first: number,
  end: number,
): number {
  let weighted = 0;
  let sum = 0;
  for (let slot = first; slot < end; slot++) {
    if (gate[slot] === 0) continue;
    weighted += gate[slot] * gateGradient[slot];
    sum += gate[slot];
  }
  return sum > 0 ? weighted / sum : 0;
}

/**
 * One token's part of the gradient of affinities S that are divided by their sum over the selected, times any factor:
 *
 *     ∂loss/∂Z_e_s = gate_s·(gateGradient_s − mean) · ∂log S_e_s/∂Z_e_s    e_s: expert of slot s
 *
 * A softmax normalised in this way is a softmax over the selected experts, so the other logits have no gradient.
 */
function addNormalisedGateGradient(
  logits: Float32Array,
  token: number,
  experts: number,
  scores: ScoreKind,
  { slots, expert, gate }: Gates,
  gateGradient: Float32Array,
  logitGradient: Float32Array,
): void {
  const first = token * slots;
  const mean = meanGateGradient(gate, gateGradient, first, first + slots);
  for (let slot = first; slot < first + slots; slot++) {
    if (gate[slot] === 0) continue;
    const entry = token * experts + expert[slot];
    logitGradient[entry] += gate[slot] * (gateGradient[slot] - mean) * logScoreSlope(logits[entry], scores);
  }
}

/** The gates of selected experts and their gradient. */
export interface ScoreGates {
  /** Fills `gate` `[tokens × slots]` from `expert` of the batch's assignment; 0 for slots without an expert. */
  write(batch: TokenBatch, assignment: Gates): void;
  /**
   * Propagates `gateGradient` `[tokens × slots]`, ∂loss/∂gate, to the logits: adds ∂loss/∂Z to `logitGradient` `[tokens ×
   * experts]`.
   */
  addGradient(batch: TokenBatch, assignment: Gates, gateGradient: Float32Array, logitGradient: Float32Array): void;
}

/** Gates S of the selected experts, divided by their sum when `renormalize`, times `gateScale`; see `Kernels.gates`. */
export function createScoreGates(
  kernels: Kernels,
  experts: number,
  scores: ScoreKind,
  { renormalize, gateScale }: ScoreGateOptions,
): ScoreGates {
  const { ofScores, addRow } = createScoreGradient(experts, scores);
  return {
    write({ logits, tokens }, { expert, slots, gate }) {
      kernels.gates(logits, scores, renormalize, expert, tokens, experts, slots, gate);
      if (gateScale === 1) return;
      for (let slot = 0; slot < tokens * slots; slot++) gate[slot] *= gateScale;
    },
    addGradient({ logits, tokens }, gates, gateGradient, logitGradient) {
      const { slots, expert } = gates;
      for (let token = 0; token < tokens; token++) {
        if (renormalize) {
          addNormalisedGateGradient(logits, token, experts, scores, gates, gateGradient, logitGradient);
          continue;
        }
        for (let slot = token * slots; slot < (token + 1) * slots; slot++) {
          if (expert[slot] >= 0) ofScores[expert[slot]] = gateScale * gateGradient[slot];
        }
        addRow(logits, token * experts, logitGradient);
      }
    },
  };
}

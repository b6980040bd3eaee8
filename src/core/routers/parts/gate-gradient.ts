import type { Assignment, ScoreKind } from "../../assignment.ts";
import { createScoreGradient } from "./score-gradient.ts";

/** The part of an assignment that a gradient goes through. */
type Gates = Pick<Assignment, "slots" | "expert" | "gate">;

/**
 * Adds to `logitGradient` `[tokens × experts]` what `gateGradient` `[tokens × slots]`, ∂loss/∂gate, comes to at the
 * `logits` `[tokens × experts]` that the gates were made of.
 */
export type AddGateGradient = (
  logits: Float32Array,
  tokens: number,
  gates: Gates,
  gateGradient: Float32Array,
  logitGradient: Float32Array,
) => void;

/**
 * Σ gate·gateGradient / Σ gate over one token's slots [first, end), 0 where all gates are. Gates that are weights w
 * divided by their sum have ∂loss/∂log w_s = gate_s·(gateGradient_s − this mean).
 */
export function meanGateGradient(gate: Float32Array, gateGradient: Float32Array, first: number, end: number): number {
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
 * One token's part of the gradient of affinities S that are divided by their sum over the selected:
 *
 *     ∂loss/∂Z_e_s = gate_s·(gateGradient_s − mean) · (1 of softmax, 1 − S_e_s of sigmoid)    e_s: expert of slot s
 *
 * A row's softmax divided so is a softmax over the selected, so that the other logits have no gradient.
 */
export function addNormalisedGateGradient(
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
    const slope = gate[slot] * (gateGradient[slot] - mean);
    // 1 − sigmoid(z) = 1 / (1 + e^z), which keeps its precision where the sigmoid is 1.
    logitGradient[entry] += scores === "softmax" ? slope : slope / (1 + Math.exp(logits[entry]));
  }
}

/** The gradient of the gates that `Kernels.gates` makes with the same arguments: of S itself, or divided by its sum. */
export function createGateGradient(experts: number, scores: ScoreKind, renormalize: boolean): AddGateGradient {
  if (renormalize) {
    return (logits, tokens, gates, gateGradient, logitGradient) => {
      for (let token = 0; token < tokens; token++) {
        addNormalisedGateGradient(logits, token, experts, scores, gates, gateGradient, logitGradient);
      }
    };
  }
  const { ofScores, addRow } = createScoreGradient(experts, scores);
  return (logits, tokens, { slots, expert }, gateGradient, logitGradient) => {
    for (let token = 0; token < tokens; token++) {
      for (let slot = token * slots; slot < (token + 1) * slots; slot++) {
        if (expert[slot] >= 0) ofScores[expert[slot]] = gateGradient[slot];
      }
      addRow(logits, token * experts, logitGradient);
    }
  };
}

import type { ScoreKind } from "../../src/core/assignment.ts";
import { affinities, type Matrix, normalised, plainSinkhorn, softmax } from "./plain.ts";

/** The gates that float64 formulas give to the experts selected, at any logits; one row per token, 0 for expert −1. */
export type GateTwin = (logits: Matrix, expert: Matrix) => Matrix;

/** `weights` at each token's experts, divided by their sum when `renormalize`. */
function gatesOf(weights: Matrix, expert: Matrix, renormalize: boolean): Matrix {
  return expert.map((row, token) => {
    const gates = row.map((e) => (e < 0 ? 0 : weights[token][e]));
    return renormalize && gates.some((gate) => gate > 0) ? normalised(gates) : gates;
  });
}

/** Gates of affinities S. */
export function scoreGates(scores: ScoreKind, renormalize: boolean): GateTwin {
  return (logits, expert) => gatesOf(affinities(logits, scores), expert, renormalize);
}

/** Gates of the entropic plan after `sweeps` column updates from g = 0; many for the balanced plan itself. */
export function planGates(epsilon: number, sweeps: number): GateTwin {
  return (logits, expert) => gatesOf(plainSinkhorn(logits, epsilon, sweeps), expert, true);
}

/** Gates of Z + `shift` `[tokens × experts]`, which does not depend on Z. */
export function shiftedGates(shift: Matrix, twin: GateTwin): GateTwin {
  return (logits, expert) =>
    twin(
      logits.map((row, token) => row.map((logit, e) => logit + shift[token][e])),
      expert,
    );
}

/**
 * Gates of the masses P_te = [α_t + A_te − τ_e]_+ / γ with potentials that do not depend on Z, from `plan`, which are
 * those masses at the logits `from`; A is S, or Z where `scores` is "logits". Tokens without mass have the gates of
 * `fallback`.
 */
export function massGates(
  plan: Matrix,
  from: Matrix,
  gamma: number,
  scores: ScoreKind | "logits",
  fallback: GateTwin,
): GateTwin {
  const cost = (logits: Matrix) => (scores === "logits" ? logits : affinities(logits, scores));
  const costBefore = cost(from);
  return (logits, expert) => {
    const costNow = cost(logits);
    const mass = plan.map((row, t) =>
      row.map((before, e) => (before > 0 ? Math.max(0, before + (costNow[t][e] - costBefore[t][e]) / gamma) : 0)),
    );
    const gates = gatesOf(mass, expert, true);
    const plain = fallback(logits, expert);
    return gates.map((row, t) => (row.some((gate) => gate > 0) ? row : plain[t]));
  };
}

/**
 * Gates of rows that are the projection of (α + A)/γ at the token's experts on the simplex, α `[experts]`, `potential`, a
 * constant; A is S, or Z where `scores` is "logits".
 */
export function projectedGates(potential: readonly number[], gamma: number, scores: ScoreKind): GateTwin {
  return (logits, expert) => {
    const affinity = affinities(logits, scores);
    return expert.map((row, t) => {
      const values = row.map((e) => (affinity[t][e] + potential[e]) / gamma);
      const ordered = [...values].sort((a, b) => b - a);
      const thresholds = ordered.map((_, i) => (ordered.slice(0, i + 1).reduce((sum, v) => sum + v, 0) - 1) / (i + 1));
      const threshold = thresholds[ordered.findLastIndex((value, i) => value > thresholds[i])];
      return values.map((value) => Math.max(0, value - threshold));
    });
  };
}

/**
 * The Switch loss coefficient · E · Σ_e f_e·p_e of fractions f `[experts]` that do not depend on Z, p the mean of the rows'
 * affinities divided by their sums.
 */
export function switchLoss(
  logits: Matrix,
  fraction: readonly number[],
  coefficient: number,
  scores: ScoreKind = "softmax",
): number {
  const probability = scores === "logits" ? logits.map(softmax) : affinities(logits, scores).map(normalised);
  const products = fraction.map(
    (share, e) => (share * probability.reduce((sum, row) => sum + row[e], 0)) / probability.length,
  );
  return coefficient * fraction.length * products.reduce((sum, value) => sum + value, 0);
}

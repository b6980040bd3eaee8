import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { ScoreKind } from "../../assignment.ts";
import type { Tensors } from "../../platform.ts";
import type { Kernels } from "../kernels.ts";
import { exponentsOf, twoFloats } from "./exponents.ts";
import { affinitiesOf, asGoodAsNegativeInfinity, matrixOf } from "./matrices.ts";

/** The logits of the selected pairs `[tokens × slots]`, so that no others need be carried over. */
function chosenLogits(
  logits: Float32Array,
  expert: Int32Array,
  tokens: number,
  experts: number,
  slots: number,
): Float32Array {
  const chosen = new Float32Array(tokens * slots);
  for (let pair = 0; pair < chosen.length; pair++) {
    const row = Math.floor(pair / slots) * experts;
    chosen[pair] = expert[pair] < 0 ? asGoodAsNegativeInfinity : logits[row + expert[pair]];
  }
  return chosen;
}

function writeGates(values: ArrayLike<number>, expert: Int32Array, gate: Float32Array): void {
  for (let pair = 0; pair < values.length; pair++) gate[pair] = expert[pair] < 0 ? 0 : values[pair];
}

/** The gates of selected experts; slots with expert −1 get 0. */
export function gatePrograms(tensors: Tensors): Pick<Kernels, "gates"> {
  const { abs, exp, gather, less, log, log1p, maximum, minimum, mul, neg, reshape, softmax, sub, tidy, where } =
    tensors;

  /** log S, of a softmax up to a constant of the row. */
  function logAffinity(logits: Tensor2D, kind: ScoreKind): Tensor2D {
    if (kind === "softmax" || kind === "logits") return logits;
    if (kind === "sigmoid") return sub(minimum(logits, 0), log1p(exp(neg(abs(logits)))));
    // Below −40 log(1 + e^z) is e^z, which underflows before its root does.
    return where(less(logits, -40), mul(logits, 0.5), log(affinitiesOf(tensors, maximum(logits, -40), kind)));
  }

  return {
    gates(logits, kind, renormalize, expert, tokens, experts, slots, gate) {
      tidy(() => {
        if (renormalize) {
          const chosen = matrixOf(tensors, chosenLogits(logits, expert, tokens, experts, slots), tokens, slots);
          writeGates(softmax(logAffinity(chosen, kind)).dataSync(), expert, gate);
          return;
        }
        const affinities = affinitiesOf(tensors, matrixOf(tensors, logits, tokens, experts), kind);
        const entries = Int32Array.from(
          { length: tokens * slots },
          (_, pair) => Math.floor(pair / slots) * experts + Math.max(0, expert[pair]),
        );
        writeGates(gather(reshape(affinities, [-1]), entries).dataSync(), expert, gate);
      });
    },
  };
}

/** `gate` `[tokens × topK]` of selected experts, 0 where a slot has none, from the plan of `columnPotential`. */
export function writePlanGates(
  tensors: Tensors,
  logits: Float32Array,
  columnPotential: Float64Array,
  epsilon: number,
  expert: Int32Array,
  tokens: number,
  experts: number,
  topK: number,
  gate: Float32Array,
): void {
  tensors.tidy(() => {
    const chosen = matrixOf(tensors, chosenLogits(logits, expert, tokens, experts, topK), tokens, topK);
    const potentials = Float64Array.from(
      { length: tokens * topK },
      (_, pair) => columnPotential[Math.max(0, expert[pair])],
    );
    const offset = twoFloats(tensors, potentials, tokens, topK, epsilon);
    const { exponent } = exponentsOf(tensors, chosen, offset, epsilon);
    writeGates(tensors.softmax(exponent).dataSync(), expert, gate);
  });
}

import type { Tensor, Tensor2D } from "@tensorflow/tfjs-core";
import type { Tensors } from "../../tensors/load.ts";
import type { Kernels } from "../kernels.ts";
import { exponentsOf, twoFloats } from "./exponents.ts";
import { affinitiesOf, matrixOf } from "./matrices.ts";

/** What an empty slot weighs before the softmax: as good as −∞, and its differences are numbers. */
const emptyLogWeight = -3e38;

/** The gates of selected experts; slots with expert −1 get 0. */
export function gatePrograms(tensors: Tensors): Pick<Kernels, "gates" | "planGates"> {
  const { abs, add, exp, gather, greaterEqual, log1p, maximum, minimum, neg, range } = tensors;
  const { reshape, scalar, softmax, sub, tensor2d, tidy, where } = tensors;

  /** Takes entries of the slots' experts out of matrices, and puts a value into the empty slots. */
  function slotsOf(expert: Int32Array, tokens: number, experts: number, slots: number) {
    const chosen = tensor2d(expert.slice(0, tokens * slots), [tokens, slots], "int32");
    const isTaken = greaterEqual(chosen, scalar(0, "int32"));
    const column = maximum<Tensor2D>(chosen, scalar(0, "int32"));
    const firstOfRow = reshape(range(0, tokens * experts, experts, "int32"), [tokens, 1]);
    const entriesAt = (values: Tensor2D, index: Tensor2D) => gather<Tensor>(reshape(values, [-1]), index) as Tensor2D;
    return {
      /** `[tokens × slots]` of `matrix` `[tokens × experts]`. */
      pick: (matrix: Tensor2D) => entriesAt(matrix, add(column, firstOfRow)),
      /** The same of a `row` `[1 × experts]`. */
      pickOfRow: (row: Tensor2D) => entriesAt(row, column),
      withEmpty: (weight: Tensor2D, empty: number) => where<Tensor>(isTaken, weight, scalar(empty)) as Tensor2D,
    };
  }

  /** log S, of a softmax up to a constant of the row. */
  function logAffinity(logits: Tensor2D, kind: "softmax" | "sigmoid"): Tensor2D {
    return kind === "softmax" ? logits : sub(minimum(logits, 0), log1p(exp(neg(abs(logits)))));
  }

  return {
    gates(logits, kind, renormalize, expert, tokens, experts, slots, gate) {
      tidy(() => {
        const matrix = matrixOf(tensors, logits, tokens, experts);
        const { pick, withEmpty } = slotsOf(expert, tokens, experts, slots);
        const gates = renormalize
          ? softmax(withEmpty(logAffinity(pick(matrix), kind), emptyLogWeight))
          : pick(affinitiesOf(tensors, matrix, kind));
        gate.set(withEmpty(gates, 0).dataSync());
      });
    },

    planGates(logits, columnPotential, epsilon, expert, tokens, experts, slots, gate) {
      tidy(() => {
        const { pick, pickOfRow, withEmpty } = slotsOf(expert, tokens, experts, slots);
        const picked = withEmpty(pick(matrixOf(tensors, logits, tokens, experts)), emptyLogWeight);
        const { high, low } = twoFloats(tensors, columnPotential, experts, epsilon);
        const offset = { high: pickOfRow(high), low: pickOfRow(low) };
        gate.set(withEmpty(softmax(exponentsOf(tensors, picked, offset, epsilon).exponent), 0).dataSync());
      });
    },
  };
}

import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { Assignment } from "../../assignment.ts";
import type { Tensors } from "../../platform.ts";
import type { GateBackward } from "../../training-step.ts";
import { withGradient } from "./custom-gradient.ts";

/** The pairs of a batch to compute, by expert: the assignment's slots that hold an expert. */
export interface Dispatch {
  readonly tokens: number;
  /** For each expert, the slots of the assignment that hold it, rising. */
  readonly slotsOf: readonly Int32Array[];
  /** Tokens of the same slots. */
  readonly tokensOf: readonly Int32Array[];
}

/** `tokens` is the batch's number of tokens; the assignment's arrays may be longer. */
export function createDispatch(
  { expert, slots }: Pick<Assignment, "expert" | "slots">,
  tokens: number,
  experts: number,
): Dispatch {
  const load = new Int32Array(experts);
  for (let slot = 0; slot < tokens * slots; slot++) if (expert[slot] >= 0) load[expert[slot]] += 1;
  const slotsOf = Array.from(load, (pairs) => new Int32Array(pairs));
  const tokensOf = Array.from(load, (pairs) => new Int32Array(pairs));
  load.fill(0);
  for (let slot = 0; slot < tokens * slots; slot++) {
    const e = expert[slot];
    if (e < 0) continue;
    slotsOf[e][load[e]] = slot;
    tokensOf[e][load[e]++] = Math.floor(slot / slots);
  }
  return { tokens, slotsOf, tokensOf };
}

/** The gates of an assignment `[1 × slots]`; their gradient reaches the logits through the router. */
export function gatesOf(tf: Tensors, logits: Tensor2D, gate: Float32Array, backward: GateBackward): Tensor2D {
  return withGradient(
    tf,
    [logits],
    () => tf.tensor2d(gate, [1, gate.length]),
    (gradient) => {
      const logitGradient = new Float32Array(logits.size);
      backward(gradient.dataSync() as Float32Array, logitGradient);
      return [tf.tensor2d(logitGradient, logits.shape)];
    },
  );
}

/**
 * Combines the experts' outputs: Σ over a token's pairs of gate · output, `[tokens × width]`. `outputs` are those of
 * the experts with pairs, `[pairs × width]` each; `busy` says which experts these are; `gates` is `[1 × slots]`.
 */
export function combine(
  tf: Tensors,
  { tokens, slotsOf, tokensOf }: Dispatch,
  width: number,
  gates: Tensor2D,
  busy: readonly number[],
  outputs: readonly Tensor2D[],
): Tensor2D {
  return withGradient(
    tf,
    [gates, ...outputs],
    ([gates, ...outputs]) => {
      const gate = gates.dataSync();
      const sum = new Float32Array(tokens * width);
      for (const [index, e] of busy.entries()) {
        const output = outputs[index].dataSync();
        for (let pair = 0; pair < slotsOf[e].length; pair++) {
          const weight = gate[slotsOf[e][pair]];
          const row = tokensOf[e][pair] * width;
          for (let column = 0; column < width; column++) sum[row + column] += weight * output[pair * width + column];
        }
      }
      return tf.tensor2d(sum, [tokens, width]);
    },
    (gradient, [gates, ...outputs]) => {
      const gate = gates.dataSync();
      const ofSum = gradient.dataSync();
      const ofGates = new Float32Array(gates.size);
      const ofOutputs = busy.map((e, index) => {
        const output = outputs[index].dataSync();
        const ofOutput = new Float32Array(output.length);
        for (let pair = 0; pair < slotsOf[e].length; pair++) {
          const weight = gate[slotsOf[e][pair]];
          const row = tokensOf[e][pair] * width;
          let product = 0;
          for (let column = 0; column < width; column++) {
            product += output[pair * width + column] * ofSum[row + column];
            ofOutput[pair * width + column] = weight * ofSum[row + column];
          }
          ofGates[slotsOf[e][pair]] = product;
        }
        return tf.tensor2d(ofOutput, outputs[index].shape);
      });
      return [tf.tensor2d(ofGates, gates.shape), ...ofOutputs];
    },
  );
}

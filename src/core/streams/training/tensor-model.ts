import type { GradSaveFunc, Scalar, Tensor, Tensor2D, TensorContainer, Variable } from "@tensorflow/tfjs-core";
import type { Assignment } from "../../assignment.ts";
import type { Kernels } from "../../kernels/kernels.ts";
import { withTensorMemory } from "../../kernels/tensor/memory.ts";
import type { Tensors } from "../../platform.ts";
import type { GateBackward } from "../../training-step.ts";
import {
  comparedTokens,
  createMeanCosine,
  gradientNorm,
  type Model,
  type ModelBatch,
  type ModelParameters,
  type ModelShape,
} from "./model.ts";
import type { Adam, Parameter, ParameterBlock } from "./parameters.ts";
import type { TaskBatch } from "./task.ts";

const tooLarge =
  "stream: a training step needs more memory than TensorFlow.js has; lower tokens, topK, width or hidden";

/**
 * The model on TensorFlow.js, which differentiates it: for `--backend tfjs` and `tfjs-gpu`, and the check of the model on
 * the kernels. Three things are done by hand because that is many times faster: plain loops take the tokens to their
 * experts and back, products with a transposed factor transpose it first, and Adam is the kernels'.
 */
export function createTensorModel(
  tf: Tensors,
  kernels: Kernels,
  { width, experts }: ModelShape,
  parameters: ModelParameters,
  blocks: readonly ParameterBlock[],
  adam: Adam,
): Model {
  const variables = new Map<Parameter, Variable>();
  for (const block of blocks) {
    for (const parameter of block.parameters) {
      variables.set(
        parameter,
        tf.tidy(() => tf.variable(tf.tensor(parameter.values.slice(), [...parameter.shape]))),
      );
    }
  }
  const matrix = (parameter: Parameter) => variables.get(parameter) as Tensor as Tensor2D;
  const tidy = <Result extends TensorContainer>(work: () => Result): Result =>
    withTensorMemory(tooLarge, () => tf.tidy(work));

  /** Copies a block's values to its variables. */
  function assign(block: ParameterBlock): void {
    for (const parameter of block.parameters) {
      const values = tf.tensor(parameter.values.slice(), [...parameter.shape]);
      variables.get(parameter)!.assign(values);
      values.dispose();
    }
  }

  function expert(e: number, tokens: Tensor2D): Tensor2D {
    const [into, intoOffset, outOf, outOfOffset] = parameters.experts[e].parameters.map(matrix);
    const inner = tf.relu(tf.add(multiply(tf, tokens, into), intoOffset)) as Tensor2D;
    return tf.add(multiply(tf, inner, outOf), outOfOffset);
  }

  /** Σ over a token's pairs of gate · expert(x) `[tokens × width]`; `gates` `[1 × slots]`. */
  function outputOf(tokens: Tensor2D, dispatch: Dispatch, gates: Tensor2D): Tensor2D {
    const { tokensOf } = dispatch;
    const busy = Array.from(tokensOf.keys()).filter((e) => tokensOf[e].length > 0);
    const outputs = busy.map((e) => expert(e, lookUp(tf, tokens, tokensOf[e])));
    return combine(tf, dispatch, width, gates, busy, outputs);
  }

  /** The token vectors x `[tokens × width]`. */
  function tokensOf(batch: TaskBatch): Tensor2D {
    if (batch.task === "clusters") return tf.tensor2d(batch.x.slice(), [batch.tokens, width]);
    const { embedding, into } = parameters.text!;
    const [intoMatrix, intoOffset] = into.parameters;
    const rows = lookUp(tf, matrix(embedding.parameters[0]), batch.contexts);
    const inputs = tf.reshape(rows, [batch.tokens, intoMatrix.shape[0]]) as Tensor2D;
    return tf.add(multiply(tf, inputs, matrix(intoMatrix)), matrix(intoOffset));
  }

  /** The mean loss, from the token vectors and what the experts return. */
  function lossOf(batch: TaskBatch, x: Tensor2D, output: Tensor2D): Scalar {
    if (batch.task === "clusters") {
      return tf.mean(tf.squaredDifference(output, tf.tensor2d(batch.y.slice(), [batch.tokens, width])));
    }
    const [outOf, outOfOffset] = parameters.text!.outOf.parameters;
    const logits = tf.add(multiply(tf, tf.add(x, output), matrix(outOf)), matrix(outOfOffset));
    const target = tf.oneHot(tf.tensor1d(batch.next.slice(), "int32"), outOf.shape[1]);
    return tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(logits), target), 1))) as Scalar;
  }

  const [gateMatrix] = parameters.gate.parameters;

  function open(batch: TaskBatch): ModelBatch {
    const { tokens } = batch;
    const compared = Math.min(tokens, comparedTokens);
    const cosine = createMeanCosine(compared * width);
    const logits = kernels.allocateFloat32(tokens * experts);
    return {
      logits() {
        logits.set(tidy(() => multiply(tf, tokensOf(batch), matrix(gateMatrix)).dataSync()));
        return logits;
      },

      similarity: () =>
        tidy(() => {
          const first = tf.slice(tokensOf(batch), 0, compared);
          cosine.reset();
          for (let e = 0; e < experts; e++) cosine.add(expert(e, first).dataSync() as Float32Array);
          return cosine.value();
        }),

      loss: (assignment) =>
        tidy(() => {
          const x = tokensOf(batch);
          const gates = tf.tensor2d(assignment.gate, [1, assignment.gate.length]);
          return lossOf(batch, x, outputOf(x, createDispatch(assignment, tokens, experts), gates)).dataSync()[0];
        }),

      learn: (assignment, backward, count) =>
        tidy(() => {
          const dispatch = createDispatch(assignment, tokens, experts);
          const { value, grads } = tf.variableGrads(() => {
            const x = tokensOf(batch);
            const gates = gatesOf(tf, multiply(tf, x, matrix(gateMatrix)), assignment.gate, backward);
            return lossOf(batch, x, outputOf(x, dispatch, gates));
          }, Array.from(variables.values()));
          adam.begin(count);
          for (const block of blocks) {
            const gradients = block.parameters.map((parameter) => grads[variables.get(parameter)!.name]);
            // Of an expert without tokens.
            if (gradients.some((gradient) => gradient === undefined)) continue;
            for (const [index, { gradient }] of block.parameters.entries()) gradient.set(gradients[index].dataSync());
            adam.update(block);
            assign(block);
          }
          return { loss: value.dataSync()[0], gateGradientNorm: gradientNorm(gateMatrix.gradient) };
        }),
    };
  }

  return {
    open,
    reload() {
      for (const block of blocks) assign(block);
    },
    close() {
      for (const variable of variables.values()) variable.dispose();
    },
  };
}

/** The pairs of a batch to compute, by expert: the assignment's slots that hold an expert. */
interface Dispatch {
  readonly tokens: number;
  /** For each expert, the slots of the assignment that hold it, rising. */
  readonly slotsOf: readonly Int32Array[];
  /** Tokens of the same slots. */
  readonly tokensOf: readonly Int32Array[];
}

/** `tokens` is the batch's number of tokens; the assignment's arrays may be longer. */
function createDispatch(
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
function gatesOf(tf: Tensors, logits: Tensor2D, gate: Float32Array, backward: GateBackward): Tensor2D {
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
function combine(
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

/**
 * Returns rows `index` of `table` `[rows × width]`, as `[index.length × width]`. A row used several times sums its
 * gradients. Copies the rows itself: in WebAssembly, TensorFlow's own gather is slow and has no gradient.
 */
function lookUp(tf: Tensors, table: Tensor2D, index: Int32Array): Tensor2D {
  const width = table.shape[1];
  return withGradient(
    tf,
    [table],
    ([table]) => {
      const from = table.dataSync();
      const taken = new Float32Array(index.length * width);
      for (let i = 0; i < index.length; i++) {
        for (let column = 0; column < width; column++) taken[i * width + column] = from[index[i] * width + column];
      }
      return tf.tensor2d(taken, [index.length, width]);
    },
    (gradient) => {
      const ofTaken = gradient.dataSync();
      const ofTable = new Float32Array(table.size);
      for (let i = 0; i < index.length; i++) {
        for (let column = 0; column < width; column++)
          ofTable[index[i] * width + column] += ofTaken[i * width + column];
      }
      return [tf.tensor2d(ofTable, table.shape)];
    },
  );
}

/**
 * Computes `value` of matrices with a custom gradient: `gradient` takes the gradient of the result and `inputs`, and
 * returns the inputs' gradients in their order.
 */
function withGradient(
  tf: Tensors,
  inputs: readonly Tensor2D[],
  value: (inputs: readonly Tensor2D[]) => Tensor2D,
  gradient: (ofResult: Tensor2D, inputs: readonly Tensor2D[]) => Tensor2D[],
): Tensor2D {
  const differentiable = tf.customGrad((...inputsAndSave) => {
    const own = inputsAndSave.slice(0, -1) as Tensor2D[];
    const save = inputsAndSave.at(-1) as GradSaveFunc;
    save(own);
    return {
      value: value(own),
      gradFunc: (ofResult: Tensor, saved: Tensor[]) => gradient(ofResult as Tensor2D, saved as Tensor2D[]),
    };
  });
  return differentiable(...inputs) as Tensor2D;
}

/**
 * The product `left · right` of `[rows × inner]` and `[inner × columns]`. Its gradients are products with a transposed
 * factor, for which the WebAssembly backend has only a plain loop: transposing the factor first is many times faster.
 */
function multiply(tf: Tensors, left: Tensor2D, right: Tensor2D): Tensor2D {
  return withGradient(
    tf,
    [left, right],
    ([left, right]) => tf.matMul(left, right),
    (ofProduct, [left, right]) => [tf.matMul(ofProduct, tf.transpose(right)), tf.matMul(tf.transpose(left), ofProduct)],
  );
}

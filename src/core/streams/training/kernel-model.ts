import type { Assignment } from "../../assignment.ts";
import { InputError } from "../../input-error.ts";
import type { Kernels } from "../../kernels/kernels.ts";
import {
  comparedTokens,
  createMeanCosine,
  gradientNorm,
  type Model,
  type ModelBatch,
  type ModelParameters,
  type ModelShape,
} from "./model.ts";
import type { Adam } from "./parameters.ts";
import type { ClustersBatch, TaskBatch, TextBatch } from "./task.ts";

/** The parts of a model before and after its experts. */
interface Ends {
  /** Computes the token vectors x `[tokens × width]`. */
  tokens(): Float32Array;
  /** Returns the loss from what the experts add up to `output` `[tokens × width]`, which starts as {@link start} leaves it. */
  loss(output: Float32Array): number;
  /** Writes where the sum of the experts' outputs starts from. */
  start(output: Float32Array): void;
  /** Writes ∂loss/∂output of the last loss to `outputGradient`, and updates what follows the experts. */
  backwardLoss(output: Float32Array, outputGradient: Float32Array, adam: Adam): void;
  /** Updates what precedes the experts, from ∂loss/∂x; null if nothing does. */
  readonly backwardTokens: ((tokenGradient: Float32Array, adam: Adam) => void) | null;
}

/**
 * The model on the kernels, forward and backward. Arrays are allocated once per batch that is opened, and only grow if a
 * router assigns more pairs than ever before; a step allocates nothing. The gradients are derived in
 * `docs/training-gradients.md`.
 */
export function createKernelModel(kernels: Kernels, shape: ModelShape, parameters: ModelParameters, adam: Adam): Model {
  const { width, hidden, experts } = shape;

  function open(batch: TaskBatch): ModelBatch {
    const { tokens } = batch;
    const ends = batch.task === "clusters" ? clustersEnds(kernels, batch) : textEnds(kernels, width, parameters, batch);
    const logits = kernels.allocateFloat32(tokens * experts);
    const logitGradient = kernels.allocateFloat32(tokens * experts);
    const output = kernels.allocateFloat32(tokens * width);
    const outputGradient = kernels.allocateFloat32(tokens * width);
    const tokenGradient = ends.backwardTokens === null ? null : kernels.allocateFloat32(tokens * width);
    const pairs = createPairs(kernels, shape, tokens);
    const compared = Math.min(tokens, comparedTokens);
    const comparison = {
      token: kernels.allocateInt32(compared),
      inner: kernels.allocateFloat32(compared * hidden),
      output: kernels.allocateFloat32(compared * width),
      cosine: createMeanCosine(compared * width),
    };
    for (let t = 0; t < compared; t++) comparison.token[t] = t;
    let x = output;

    function loss(assignment: Assignment): number {
      pairs.group(assignment);
      const { first, token, gate, pair, inner, output: ofPairs, slots } = pairs;
      for (let e = 0; e < experts; e++) {
        const { values } = parameters.experts[e];
        kernels.expertForward(x, token, first[e], first[e + 1], values, width, hidden, inner, ofPairs);
      }
      ends.start(output);
      kernels.combineRows(ofPairs, pair, gate, tokens, slots, width, output);
      return ends.loss(output);
    }

    return {
      loss,

      logits() {
        x = ends.tokens();
        kernels.multiply(x, parameters.gate.values, logits, tokens, width, experts, false);
        return logits;
      },

      similarity() {
        const { token, inner, output, cosine } = comparison;
        cosine.reset();
        for (let e = 0; e < experts; e++) {
          const { values } = parameters.experts[e];
          kernels.expertForward(x, token, 0, compared, values, width, hidden, inner, output);
          cosine.add(output);
        }
        return cosine.value();
      },

      learn(assignment, backward, count) {
        const mean = loss(assignment);
        adam.begin(count);
        ends.backwardLoss(output, outputGradient, adam);
        const { first, token, gate, pair, inner, output: ofPairs, slots, gateGradient } = pairs;
        kernels.rowProducts(ofPairs, outputGradient, token, first[experts], width, pairs.pairGradient);
        pairs.toSlots();
        logitGradient.fill(0);
        backward(gateGradient, logitGradient);
        // The experts' outputs are not needed any more.
        const ofTokens = tokenGradient === null ? null : ofPairs;
        for (let e = 0; e < experts; e++) {
          if (first[e] === first[e + 1]) continue;
          const block = parameters.experts[e];
          kernels.expertBackward(
            x,
            token,
            gate,
            first[e],
            first[e + 1],
            block.values,
            width,
            hidden,
            inner,
            outputGradient,
            ofTokens,
            block.gradient,
          );
          adam.update(block);
        }
        const { gate: gateBlock } = parameters;
        if (tokenGradient !== null) {
          tokenGradient.set(outputGradient);
          kernels.combineRows(ofPairs, pair, null, tokens, slots, width, tokenGradient);
          kernels.multiplyRightTransposed(logitGradient, gateBlock.values, tokenGradient, tokens, experts, width, true);
        }
        kernels.multiplyLeftTransposed(x, logitGradient, gateBlock.gradient, tokens, width, experts);
        adam.update(gateBlock);
        ends.backwardTokens?.(tokenGradient!, adam);
        return { loss: mean, gateGradientNorm: gradientNorm(gateBlock.gradient) };
      },
    };
  }

  return { open, reload: () => {}, close: () => {} };
}

/** The (token, expert) pairs of a batch, ordered by expert and then by slot. */
interface Pairs {
  /** Takes over the pairs of an assignment. */
  group(assignment: Assignment): void;
  /** Copies `pairGradient` to `gateGradient`; 0 in slots without a pair. */
  toSlots(): void;
  /** Slots per token. */
  readonly slots: number;
  /** `[experts + 1]`, where the pairs of each expert begin. */
  readonly first: Int32Array;
  /** `[pairs]`. */
  readonly token: Int32Array;
  /** `[pairs]`. */
  readonly gate: Float32Array;
  /** `[pairs]`, for ∂loss/∂gate. */
  readonly pairGradient: Float32Array;
  /** `[tokens × slots]`, the pair of each slot, −1 = none. */
  readonly pair: Int32Array;
  /** `[tokens × slots]`. */
  readonly gateGradient: Float32Array;
  /** `[pairs × hidden]`, for the hidden units. */
  readonly inner: Float32Array;
  /** `[pairs × width]`, for the experts' outputs. */
  readonly output: Float32Array;
}

function createPairs(kernels: Kernels, { width, hidden, experts }: ModelShape, tokens: number): Pairs {
  const first = new Int32Array(experts + 1);
  const next = new Int32Array(experts);
  let room = 0;
  let slotRoom = 0;

  function reserve(count: number, slots: number): void {
    if (count > room) {
      // Routers that choose how many experts a token gets exceed their largest number of pairs again and again.
      room = room === 0 ? count : Math.ceil(1.25 * count);
      pairs.token = kernels.allocateInt32(room);
      pairs.gate = kernels.allocateFloat32(room);
      pairs.pairGradient = kernels.allocateFloat32(room);
      pairs.inner = kernels.allocateFloat32(room * hidden);
      pairs.output = kernels.allocateFloat32(room * width);
    }
    if (tokens * slots > slotRoom) {
      slotRoom = tokens * slots;
      pairs.pair = kernels.allocateInt32(slotRoom);
      pairs.gateGradient = kernels.allocateFloat32(slotRoom);
    }
  }

  const pairs = {
    slots: 0,
    first,
    token: kernels.allocateInt32(0),
    gate: kernels.allocateFloat32(0),
    pairGradient: kernels.allocateFloat32(0),
    pair: kernels.allocateInt32(0),
    gateGradient: kernels.allocateFloat32(0),
    inner: kernels.allocateFloat32(0),
    output: kernels.allocateFloat32(0),

    group({ expert, gate, slots }: Assignment) {
      const length = tokens * slots;
      pairs.slots = slots;
      first.fill(0);
      for (let slot = 0; slot < length; slot++) if (expert[slot] >= 0) first[expert[slot] + 1] += 1;
      for (let e = 0; e < experts; e++) {
        next[e] = first[e];
        first[e + 1] += first[e];
      }
      try {
        reserve(first[experts], slots);
      } catch (cause) {
        if (!(cause instanceof RangeError)) throw cause;
        throw new InputError(
          `stream: a training step of ${first[experts]} (token, expert) pairs needs more memory than the kernels have ` +
            `(${cause.message}); lower tokens, topK, width or hidden`,
          { cause },
        );
      }
      const { pair, token, gate: gateOfPair } = pairs;
      let slot = 0;
      for (let t = 0; t < tokens; t++) {
        for (const end = slot + slots; slot < end; slot++) {
          const e = expert[slot];
          if (e < 0) {
            pair[slot] = -1;
            continue;
          }
          const p = next[e]++;
          pair[slot] = p;
          token[p] = t;
          gateOfPair[p] = gate[slot];
        }
      }
    },

    toSlots() {
      const { pair, pairGradient, gateGradient } = pairs;
      for (let slot = 0; slot < tokens * pairs.slots; slot++) {
        gateGradient[slot] = pair[slot] < 0 ? 0 : pairGradient[pair[slot]];
      }
    },
  };
  return pairs;
}

/** The tokens as they are, and the mean squared error of what the experts return. */
function clustersEnds(kernels: Kernels, { x, y }: ClustersBatch): Ends {
  const error = kernels.allocateFloat32(y.length);
  return {
    tokens: () => x,
    start: (output) => void output.fill(0),
    loss: (output) => kernels.squaredError(output, y, y.length, error),
    backwardLoss: (_, outputGradient) => outputGradient.set(error),
    backwardTokens: null,
  };
}

/** The embedding of the context before, and the softmax over the vocabulary after the experts. */
function textEnds(kernels: Kernels, width: number, { text }: ModelParameters, batch: TextBatch): Ends {
  const { tokens, contexts, next } = batch;
  const { embedding, into, outOf } = text!;
  const [table] = embedding.parameters;
  const [intoMatrix, intoOffset] = into.parameters;
  const [outOfMatrix, outOfOffset] = outOf.parameters;
  const [vocabulary, columns] = table.shape;
  const [inputs] = intoMatrix.shape;
  const x = kernels.allocateFloat32(tokens * width);
  const vectors = kernels.allocateFloat32(tokens * inputs);
  const logits = kernels.allocateFloat32(tokens * vocabulary);
  const zeros = kernels.allocateInt32(tokens);
  return {
    tokens() {
      kernels.gatherRows(table.values, contexts, contexts.length, columns, vectors);
      kernels.gatherRows(intoOffset.values, zeros, tokens, width, x);
      kernels.multiply(vectors, intoMatrix.values, x, tokens, inputs, width, true);
      return x;
    },
    start: (output) => output.set(x),
    loss(output) {
      kernels.gatherRows(outOfOffset.values, zeros, tokens, vocabulary, logits);
      kernels.multiply(output, outOfMatrix.values, logits, tokens, width, vocabulary, true);
      return kernels.crossEntropy(logits, next, tokens, vocabulary, logits);
    },
    backwardLoss(output, outputGradient, adam) {
      kernels.multiplyRightTransposed(logits, outOfMatrix.values, outputGradient, tokens, vocabulary, width, false);
      kernels.multiplyLeftTransposed(output, logits, outOfMatrix.gradient, tokens, width, vocabulary);
      kernels.sumRows(logits, tokens, vocabulary, outOfOffset.gradient);
      adam.update(outOf);
    },
    backwardTokens(tokenGradient, adam) {
      const ofVectors = vectors;
      kernels.multiplyLeftTransposed(vectors, tokenGradient, intoMatrix.gradient, tokens, inputs, width);
      kernels.sumRows(tokenGradient, tokens, width, intoOffset.gradient);
      kernels.multiplyRightTransposed(tokenGradient, intoMatrix.values, ofVectors, tokens, width, inputs, false);
      table.gradient.fill(0);
      kernels.scatterRows(ofVectors, contexts, contexts.length, columns, table.gradient);
      adam.update(into);
      adam.update(embedding);
    },
  };
}

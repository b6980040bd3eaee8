import type { Rank, Scalar, Tensor2D } from "@tensorflow/tfjs-core";
import { InputError } from "../../input-error.ts";
import { counted } from "../../words.ts";
import type { TextTokens } from "../parts/text-tokens.ts";
import { createUniformSource } from "../parts/uniform-source.ts";
import { multiply } from "./custom-gradient.ts";
import { lookUp } from "./lookup.ts";
import type { Task, TaskBatch, TaskContext, TaskData } from "./task.ts";

export interface TextTaskOptions {
  /** Number of previous tokens that predict the next one. */
  readonly context: number;
  /** Numbers per token of the context. */
  readonly embedding: number;
  /** Number of distinct ids; rarer tokens share the last one. */
  readonly vocabulary: number;
  /** Whether the last tenth of the text is held back from training, for evaluation. */
  readonly holdsBack: boolean;
}

/**
 * A language model: predicts the next token of a text from the previous `context` tokens,
 *
 *     h = [U[i_1], …, U[i_context]] · V + v,   the layer's token vector
 *     p = softmax((h + MoE(h)) · O + o)
 *     loss = mean over tokens of −ln p[next], in nats per token of the text
 *
 * Each batch draws its positions in the text with replacement: in the first nine tenths in training and in the last tenth
 * for evaluation, contexts included, or in the whole text if nothing is held back.
 *
 * Source: Bengio et al. 2003, A Neural Probabilistic Language Model, section 2, with a layer of experts for its hidden
 * units.
 *
 * Throws `InputError` if the text, or either part, has at most `context` tokens, or if all its tokens are equal.
 */
export function createTextTask(
  { tf, createParameter, width }: TaskContext,
  { ids, distinct }: TextTokens,
  { context, embedding, vocabulary: most, holdsBack }: TextTaskOptions,
): Task {
  const heldBack = holdsBack ? Math.floor(ids.length / 10) : 0;
  const [shortest, part] = holdsBack ? [heldBack, "the last tenth of the text"] : [ids.length, "the text"];
  if (shortest <= context) {
    throw new InputError(`stream.path: ${part} has ${counted(shortest, "token")}; a context of ${context} needs more`);
  }
  if (distinct < 2) throw new InputError("stream.path: all tokens of the text are the same; nothing can be learned");
  const vocabulary = Math.min(distinct, most);
  const table = createParameter<Rank.R2>("embedding", [vocabulary, embedding], 1);
  const into = createParameter<Rank.R2>("into", [context * embedding, width], 1 / Math.sqrt(context * embedding));
  const intoOffset = createParameter<Rank.R1>("into offset", [width], 0);
  const outOf = createParameter<Rank.R2>("out of", [width, vocabulary], 1 / Math.sqrt(width));
  const outOfOffset = createParameter<Rank.R1>("out of offset", [vocabulary], 0);

  function createBatch(tokens: number, data: TaskData): TaskBatch {
    const [start, end] = data === "training" ? [0, ids.length - heldBack] : [ids.length - heldBack, ids.length];
    const contexts = new Int32Array(tokens * context);
    const next = new Int32Array(tokens);
    return {
      draw(random) {
        const uniform = createUniformSource(random);
        for (let token = 0; token < tokens; token++) {
          const place = start + Math.floor(uniform() * (end - start - context));
          for (let i = 0; i < context; i++) contexts[token * context + i] = Math.min(ids[place + i], vocabulary - 1);
          next[token] = Math.min(ids[place + context], vocabulary - 1);
        }
      },
      tokens() {
        const inputs = tf.reshape(lookUp(tf, table, contexts), [tokens, context * embedding]) as Tensor2D;
        return tf.add(multiply(tf, inputs, into), intoOffset);
      },
      loss(hidden, output) {
        const logits = tf.add(multiply(tf, tf.add(hidden, output), outOf), outOfOffset);
        const target = tf.oneHot(tf.tensor1d(next, "int32"), vocabulary);
        return tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(logits), target), 1))) as Scalar;
      },
    };
  }

  return { createBatch };
}

import { InputError } from "../../input-error.ts";
import type { Kernels } from "../../kernels/kernels.ts";
import { counted } from "../../words.ts";
import type { TextTokens } from "../parts/text-tokens.ts";
import { createUniformSource } from "../parts/uniform-source.ts";
import type { Task, TaskData, TextBatch } from "./task.ts";

export interface TextTaskOptions {
  /** Number of previous tokens that predict the next one. */
  readonly context: number;
  /** Number of distinct ids; rarer tokens share the last one. */
  readonly vocabulary: number;
  /** Whether the last tenth of the text is held back from training, for evaluation. */
  readonly holdsBack: boolean;
}

export interface TextTask extends Task {
  createBatch(tokens: number, data: TaskData): TextBatch;
  /** Number of ids. */
  readonly vocabulary: number;
}

/**
 * A language model: predicts the next token of a text from the previous `context` tokens,
 *
 *     x = [U[i_1], …, U[i_context]] · V + v,   the token vector
 *     p = softmax((x + MoE(x)) · O + o),       MoE the output of the experts
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
  kernels: Kernels,
  { ids, distinct }: TextTokens,
  { context, vocabulary: most, holdsBack }: TextTaskOptions,
): TextTask {
  const heldBack = holdsBack ? Math.floor(ids.length / 10) : 0;
  const [shortest, part] = holdsBack ? [heldBack, "the last tenth of the text"] : [ids.length, "the text"];
  if (shortest <= context) {
    throw new InputError(`stream.path: ${part} has ${counted(shortest, "token")}; a context of ${context} needs more`);
  }
  if (distinct < 2) throw new InputError("stream.path: all tokens of the text are the same; nothing can be learned");
  const vocabulary = Math.min(distinct, most);

  function createBatch(tokens: number, data: TaskData): TextBatch {
    const [start, end] = data === "training" ? [0, ids.length - heldBack] : [ids.length - heldBack, ids.length];
    const contexts = kernels.allocateInt32(tokens * context);
    const next = kernels.allocateInt32(tokens);
    return {
      task: "text",
      tokens,
      contexts,
      next,
      draw(random) {
        const uniform = createUniformSource(random);
        for (let token = 0; token < tokens; token++) {
          const place = start + Math.floor(uniform() * (end - start - context));
          for (let i = 0; i < context; i++) contexts[token * context + i] = Math.min(ids[place + i], vocabulary - 1);
          next[token] = Math.min(ids[place + context], vocabulary - 1);
        }
      },
    };
  }

  return { createBatch, vocabulary };
}

import { z } from "zod";
import { createAliasTable } from "./parts/alias-table.ts";
import { createNoiseSource, createNormalRows } from "./parts/normal-source.ts";
import { createSyntheticStream } from "./parts/synthetic-stream.ts";
import { checkTextFile, readTextTokens, textUnits } from "./parts/text-tokens.ts";
import { createUniformSource } from "./parts/uniform-source.ts";
import { zipfWeights } from "./parts/zipf.ts";
import { defineStreamKind, layersOption, type StreamContext } from "./stream.ts";

const zipfTextOptions = z.strictObject({
  path: z
    .string()
    .min(1)
    .optional()
    .describe(
      "Text file whose tokens are taken in order, starting over at its end; without it, ids follow a Zipf law.",
    ),
  unit: z.enum(textUnits).default("words").describe("With path: what a token is."),
  vocabulary: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(32_768)
    .describe("Token ids with their own row of logits; the rarer ones in a text share the last row."),
  exponent: z.number().min(0).max(10).default(1).describe("Without path: Zipf exponent of the ids' frequencies."),
  scale: z.number().min(0).max(1000).default(1.5).describe("Standard deviation of an id's fixed logits."),
  noise: z
    .number()
    .min(0)
    .max(1000)
    .default(0.5)
    .describe("Standard deviation of the noise (the context) on each logit; 0 gives equal tokens equal logits."),
  layers: layersOption,
});

export type ZipfTextOptions = z.infer<typeof zipfTextOptions>;

/** The next id of each token, below `vocabulary`. */
interface IdSource {
  readonly vocabulary: number;
  next(): number;
}

async function openIds({ folder, random }: StreamContext, options: ZipfTextOptions): Promise<IdSource> {
  if (options.path === undefined) {
    const { vocabulary, exponent } = options;
    const table = createAliasTable(zipfWeights(vocabulary, exponent));
    const chooseUniform = createUniformSource(random.derive("ids"));
    return { vocabulary, next: () => table.draw(chooseUniform()) };
  }
  const { ids, distinct } = await readTextTokens(options.path, folder, options.unit);
  const vocabulary = Math.min(distinct, options.vocabulary);
  let position = 0;
  return {
    vocabulary,
    next() {
      const id = ids[position];
      position = (position + 1) % ids.length;
      return Math.min(id, vocabulary - 1);
    },
  };
}

/**
 * What a router sees on natural language: a few ids make up most of the tokens, and a token's id decides most of its
 * logits.
 *
 *     i_t  = the next token of the text, or ~ Zipf(vocabulary, exponent)
 *     Z_te = scale · R[i_t, e] + noise · ξ_te,   R_ie, ξ_te ~ N(0, 1), R drawn once
 *
 * Ids are ranks by frequency, so row 0 of R belongs to the most frequent token. R holds vocabulary · experts float32.
 */
export const zipfTextKind = defineStreamKind({
  kind: "zipf-text",
  summary: "token ids of a text or a Zipf law: one fixed row of logits per id, plus noise",
  source: "Zipf 1949; routing decided by token id, Xue et al. 2024, arXiv 2402.01739",
  options: zipfTextOptions,
  async checkInput({ path }, folder) {
    if (path !== undefined) await checkTextFile(path, folder);
  },
  async create(context, options) {
    const { shape, kernels, random } = context;
    const { tokens, experts } = shape;
    const { scale, noise } = options;
    const ids = await openIds(context, options);
    const rows = new Float32Array(ids.vocabulary * experts);
    createNormalRows(kernels, random.derive("rows"), ids.vocabulary, experts)(rows);
    for (let entry = 0; entry < rows.length; entry++) rows[entry] *= scale;
    const addNoise = createNoiseSource(kernels, random.derive("noise"));
    const tokenId = new Int32Array(tokens);
    const writeLogits = (logits: Float32Array) => {
      for (let token = 0; token < tokens; token++) {
        tokenId[token] = ids.next();
        const fixed = tokenId[token] * experts;
        for (let e = 0; e < experts; e++) logits[token * experts + e] = rows[fixed + e];
      }
      addNoise(logits, noise, tokens * experts);
    };
    return createSyntheticStream(context, writeLogits, false, undefined, tokenId);
  },
});

/**
 * What a router chose for a batch of T tokens, with the affinities of its choice. Every token has K distinct experts, in
 * any order; both arrays may be longer than the batch.
 */
export interface ScoredChoice {
  /** `[tokens × topK]`, no −1. */
  readonly expert: Int32Array;
  /** `[tokens × topK]`, S of each chosen pair, as `Kernels.pairScores` writes it. */
  readonly pairScore: Float64Array;
}

/**
 * The Lagrangian of balanced assignment per token, at the choice x of the K largest S + b:
 *
 *     f(b) = (1/T)·Σ_t Σ_{e in x_t} (S_te + b_e) − (K/E)·Σ_e b_e = (1/T)·(Σ S over the pairs + Σ_e b_e·(A_e − L))
 *
 * With that choice it is the dual function of auxiliary-loss-free balancing, convex in b with subgradient (A − L)/T
 * (Han & Zhong 2025, arXiv 2512.03915); with any other choice it is at most that. `load` `[experts]` and `bias`
 * `[experts]` belong to the same choice.
 */
export function lagrangian(
  { pairScore }: ScoredChoice,
  bias: Float64Array,
  load: ArrayLike<number>,
  tokens: number,
  topK: number,
): number {
  let total = 0;
  for (let pair = 0; pair < tokens * topK; pair++) total += pairScore[pair];
  const targetLoad = (tokens * topK) / load.length;
  for (let e = 0; e < load.length; e++) total += bias[e] * (load[e] - targetLoad);
  return total / tokens;
}

/**
 * Σ_e (b⁺_e − b_e)·(A_e − L): what moving the bias from `bias` to `nextBias` would change T·f by if no token moved. Under
 * the sign rule with step u it is −u·Σ_e |A_e − L|. `load` sums to T·K.
 */
export function biasPull(bias: Float64Array, nextBias: Float64Array, load: ArrayLike<number>): number {
  let pairs = 0;
  for (let e = 0; e < load.length; e++) pairs += load[e];
  const targetLoad = pairs / load.length;
  let pull = 0;
  for (let e = 0; e < load.length; e++) pull += (nextBias[e] - bias[e]) * (load[e] - targetLoad);
  return pull;
}

/**
 * What each token gains by choosing again under `nextBias`, into `benefit` `[tokens]`, and in sum:
 *
 *     benefit_t = Σ_{e in next_t} (S_te + b⁺_e) − Σ_{e in choice_t} (S_te + b⁺_e)
 *
 * When `next` is the best choice under `nextBias`, every benefit is ≥ 0, 0 for tokens that stay, up to the rounding of
 * 2·K terms, and on one and the same batch T·(f(b⁺) − f(b)) = {@link biasPull} + Σ_t benefit_t exactly.
 */
export function switchingBenefits(
  choice: ScoredChoice,
  next: ScoredChoice,
  nextBias: Float64Array,
  tokens: number,
  topK: number,
  benefit: Float64Array,
): number {
  let total = 0;
  for (let token = 0; token < tokens; token++) {
    let gain = 0;
    for (let pair = token * topK; pair < (token + 1) * topK; pair++) {
      gain += next.pairScore[pair] + nextBias[next.expert[pair]];
      gain -= choice.pairScore[pair] + nextBias[choice.expert[pair]];
    }
    benefit[token] = gain;
    total += gain;
  }
  return total;
}

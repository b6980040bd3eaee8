import type { ScoreKind } from "../assignment.ts";

/** How `grouped-topk` limits a token's experts to groups. */
export interface GroupLimit {
  /** Equal contiguous groups; divides the experts. */
  readonly groups: number;
  /** Groups that a token's experts may be in. */
  readonly topGroups: number;
  /** Whether a group's score is the sum of its two largest keys or the largest. */
  readonly groupScore: "top2-sum" | "max";
  /** Most experts that a token takes of a group; undefined for no limit. */
  readonly quota?: number | undefined;
}

/**
 * By how much affinities exceed α, the (topK + 1)-th largest S + bias of their token, as `selectByPrice` leaves it for
 * `priceQuantiles`. The buffers come from the kernels.
 */
export interface PriceExcess {
  /**
   * `[tokens × experts]`, S − α in float32; −∞ for a disabled expert, a number above all others for the enabled ones of a token
   * with at most topK.
   */
  readonly value: Float32Array;
  /** `[tokens]`, by how much those of a token can miss the true ones. */
  readonly error: Float64Array;
  /**
   * `[tokens]`, the smallest difference of two neighbours among the token's topK + 1 largest S + bias, in float32; it can miss
   * the true one by 2·`error`. 0 for a token with at most topK experts.
   */
  readonly gap: Float32Array;
  /** `[tokens]`, the expert with the (topK + 1)-th largest, −1 for none. */
  readonly next: Int32Array;
  /** Pairs that an expert's list has room for, at least 1. */
  readonly room: number;
  /** `[experts]`, pairs that belong in the list: those of the tokens with S − α ≥ −bias − reach. */
  readonly count: Int32Array;
  /** `[experts × room]`, the first of them, as integers of the same order. */
  readonly key: Int32Array;
  /** `[experts × room]`, their tokens. */
  readonly token: Int32Array;
  /** `[1]`, negative if there are no lists. */
  readonly reach: Float64Array;
}

/**
 * The numerical kernels of a routing step, the one doorway to them. Three implementations exist: AssemblyScript compiled
 * to WebAssembly SIMD (`createWasmKernels`), its readable twin in plain TypeScript (`createReferenceKernels`), and, for
 * top-K and Sinkhorn routing, TensorFlow.js programs (`createTensorKernels`), which say how far they are from float64.
 *
 * Every array handed to a kernel must have been allocated by the same instance, or be a `subarray` of such, once,
 * before the steps begin: the WebAssembly kernels work in place on their own memory, which is a `SharedArrayBuffer`.
 * They throw `TypeError` for other arrays and `RangeError` for arrays that are too short. Matrices are flat and
 * row-major. No kernel allocates, but for working memory that grows with the largest sizes seen.
 *
 * Logits are finite, or −∞ for an expert that is *disabled* for the token: its affinity is 0 (−∞ among `logits`), it is
 * selected for no token, and slots that no enabled expert is left for hold −1.
 */
export interface Kernels {
  readonly backend: "wasm" | "reference" | "tfjs" | "tfjs-gpu";

  /** Zero-filled arrays that live as long as this instance. Throws `RangeError` when 4 GiB are used up. */
  allocateFloat32(length: number): Float32Array;
  allocateFloat64(length: number): Float64Array;
  allocateInt32(length: number): Int32Array;
  allocateUint32(length: number): Uint32Array;

  /**
   * Fills `out[0, length)` with independent standard normals and advances `state`: four interleaved xoshiro128++
   * generators (Blackman & Vigna 2019) feeding Box–Muller. `state` `[16]`: word w of generator g at `4·w + g`, so that
   * one SIMD register holds one word of all four; seeded with any 16 uniform words, not all zero.
   * |out| < 6.6, since a uniform has 31 bits. Numbers are drawn in rounds of eight, the last one whole even if only a
   * part of it is written, so `state` depends on ⌈length / 8⌉.
   */
  fillNormal(state: Uint32Array, out: Float32Array, length: number): void;

  /**
   * `out[i] = values[i] + deviation · ξ_i` for the `length` normals ξ that {@link fillNormal} would draw from `state`,
   * which advances as there. In float32, the deviation rounded to it too: the product and the sum are rounded once each.
   * `out` may be `values`.
   */
  addNormal(state: Uint32Array, values: Float32Array, deviation: number, length: number, out: Float32Array): void;

  /** `out[t, e]` = `values[t, e] + offset[e]`, both float32 `[tokens × experts]`, the sum in float64 and rounded once. */
  addOffsets(values: Float32Array, offset: Float64Array, tokens: number, experts: number, out: Float32Array): void;

  /** `out[r]` = `table[index[r]]`, rows of `columns` float32; `out` `[rows × columns]`. */
  gatherRows(table: Float32Array, index: Int32Array, rows: number, columns: number, out: Float32Array): void;

  /**
   * A hash of each row's bits, `hash` `[tokens]`: h = `seed`, then h = mixWord(h ⊕ word) + `goldenStep` for each word of
   * the row in turn (see `mix-word.ts`), modulo 2³². `seed` is any 32-bit integer.
   */
  hashRows(values: Float32Array, seed: number, tokens: number, experts: number, hash: Int32Array): void;

  /**
   * `out = left · right`, or `out += left · right` when `accumulate`. `left` `[rows × inner]`, `right`
   * `[inner × columns]`, `out` `[rows × columns]`.
   */
  multiply(
    left: Float32Array,
    right: Float32Array,
    out: Float32Array,
    rows: number,
    inner: number,
    columns: number,
    accumulate: boolean,
  ): void;

  /**
   * As {@link multiply}, with the transpose of `right` `[columns × inner]` for the right factor. `left` `[rows × inner]`,
   * `out` `[rows × columns]`.
   */
  multiplyRightTransposed(
    left: Float32Array,
    right: Float32Array,
    out: Float32Array,
    rows: number,
    inner: number,
    columns: number,
    accumulate: boolean,
  ): void;

  /**
   * Writes the product of the transpose of `left` `[rows × leftColumns]` with `right` `[rows × columns]` to `out`
   * `[leftColumns × columns]`.
   */
  multiplyLeftTransposed(
    left: Float32Array,
    right: Float32Array,
    out: Float32Array,
    rows: number,
    leftColumns: number,
    columns: number,
  ): void;

  /** `out[c]` = Σ_r `values[r, c]`. `values` `[rows × columns]`, `out` `[columns]`. */
  sumRows(values: Float32Array, rows: number, columns: number, out: Float32Array): void;

  /** `table[index[r]] += values[r]` for each row r in turn; the transpose of {@link gatherRows}. */
  scatterRows(values: Float32Array, index: Int32Array, rows: number, columns: number, table: Float32Array): void;

  /**
   * A two-layer expert on its pairs p, `start` ≤ p < `end`, of a batch whose pairs are ordered by expert:
   *
   *     inner[p]  = relu(tokens[token[p]]·A + a)      [pairs × hidden]
   *     output[p] = inner[p]·B + b                    [pairs × width]
   *
   * `parameters` holds A `[width × hidden]`, a, B `[hidden × width]` and b one after the other; `tokens` `[… × width]`;
   * `token` `[pairs]`. Rows of other pairs are neither read nor written. Sums are float32.
   */
  expertForward(
    tokens: Float32Array,
    token: Int32Array,
    start: number,
    end: number,
    parameters: Float32Array,
    width: number,
    hidden: number,
    inner: Float32Array,
    output: Float32Array,
  ): void;

  /**
   * The gradient of {@link expertForward} through Σ_p gate[p]·output[p], added up by token:
   *
   *     δ_p = gate[p]·outputGradient[token[p]],   γ_p = (δ_p·Bᵀ) ⊙ [inner[p] > 0]
   *     gradient = Σ_p (tokens[token[p]]ᵀ·γ_p, γ_p, inner[p]ᵀ·δ_p, δ_p),   laid out as `parameters`
   *     tokenGradient[p] = γ_p·Aᵀ                     [pairs × width]; null if it is not needed
   *
   * `outputGradient` `[… × width]` is by token. Overwrites `gradient`, and `inner` with γ.
   */
  expertBackward(
    tokens: Float32Array,
    token: Int32Array,
    gate: Float32Array,
    start: number,
    end: number,
    parameters: Float32Array,
    width: number,
    hidden: number,
    inner: Float32Array,
    outputGradient: Float32Array,
    tokenGradient: Float32Array | null,
    gradient: Float32Array,
  ): void;

  /**
   * Adds to `out[t]` the sum over the `slots` slots s of token t of `weight[p]`·`values[p]`, with p = `pair[s]`. Slots whose
   * pair is −1 are left out; weights are 1 if `weight` is null. `pair` `[tokens × slots]`, `weight` `[pairs]`, rows of
   * `columns` numbers.
   */
  combineRows(
    values: Float32Array,
    pair: Int32Array,
    weight: Float32Array | null,
    tokens: number,
    slots: number,
    columns: number,
    out: Float32Array,
  ): void;

  /** `out[r]` = ⟨`left[r]`, `right[index[r]]`⟩, rows of `columns` numbers; summed in float64. */
  rowProducts(
    left: Float32Array,
    right: Float32Array,
    index: Int32Array,
    rows: number,
    columns: number,
    out: Float32Array,
  ): void;

  /**
   * Returns the mean over rows r of −ln softmax(logits[r])[target[r]], in nats, and writes its gradient in the logits,
   * (softmax − one-hot) / rows, to `gradient` `[rows × columns]`, which may be `logits`. NaN if a logit is not finite.
   */
  crossEntropy(logits: Float32Array, target: Int32Array, rows: number, columns: number, gradient: Float32Array): number;

  /**
   * Returns the mean of (values − targets)² over `length` numbers, and writes its gradient in the values to `gradient`,
   * which may be either.
   */
  squaredError(values: Float32Array, targets: Float32Array, length: number, gradient: Float32Array): number;

  /**
   * One update of Adam on `length` numbers θ with moments m and v and gradient g, β₁ = 0.9, β₂ = 0.999, ε = 1e-8:
   *
   *     m = β₁·m + (1 − β₁)·g,   v = β₂·v + (1 − β₂)·g²,   θ = θ − rate·m / (√(secondScale·v) + ε)
   *
   * For update n the caller sets `rate` to the learning rate / (1 − β₁ⁿ) and `secondScale` to 1 / (1 − β₂ⁿ). Kingma &
   * Ba 2015, arXiv 1412.6980, algorithm 1.
   */
  adam(
    values: Float32Array,
    first: Float32Array,
    second: Float32Array,
    gradient: Float32Array,
    length: number,
    rate: number,
    secondScale: number,
  ): void;

  /**
   * Affinities S `[tokens × experts]` of `logits`, relative error below 1e-6 where S is a normal float32; of "logits" these
   * themselves.
   */
  scores(logits: Float32Array, kind: ScoreKind, tokens: number, experts: number, scores: Float32Array): void;

  /**
   * S `[tokens × experts]` in float64, "logits" the logits themselves; relative error below 3e-15, of "softmax" below
   * 3e-15 + experts · 1.2e-16, since the sum of a row may round at each of its terms. 0 where S < 1e-307, −∞ for a disabled
   * expert among "logits".
   */
  affinities(logits: Float32Array, kind: ScoreKind, tokens: number, experts: number, out: Float64Array): void;

  /**
   * Adds the shares p of each token to `share` `[experts]`: its `affinities` divided by their sum, or nothing if they are all 0.
   * All sums are taken in order.
   */
  addShares(
    logits: Float32Array,
    kind: Exclude<ScoreKind, "logits">,
    tokens: number,
    experts: number,
    share: Float64Array,
  ): void;

  /**
   * The K best experts of each token at given prices, relaxed. For each row of v_te = scores[t, e] − price[e] it solves
   *
   *     max over 0 ≤ x ≤ 1 of  ⟨v, x⟩ + (width/2)·Σ_e x_e·(1 − x_e)
   *     with Σ_e x_e = topK where `floor` is −∞, and Σ_e x_e ≤ topK where it is 0
   *
   * whose solution is x_e = clip((v_e − τ)/width + ½, 0, 1), τ the larger of `floor` and a root of Σ_e x_e = topK. The
   * maximum is at least the sum of the K largest v (of those above 0), by at most width/8 for each entry strictly
   * between 0 and 1, and it is convex and once differentiable in the prices. With `width` 0 it is that sum itself and x
   * its K experts, ties to the lower index, τ the last of their v or the floor.
   *
   * Returns Σ_t of the maximum and adds to what the arrays hold: Σ_t x to `mass` `[experts]`, which is minus the gradient
   * in the prices, and to `curvature` `[experts × experts]`, null where it is not needed or `width` is 0, the Hessian
   * (I − 11ᵀ/m)/width on the m entries of each token strictly between 0 and 1, I/width where τ is the floor.
   * `threshold` `[tokens]` holds a guess of each τ, NaN for none, and then τ: a good guess saves half the time and
   * changes results by rounding alone. Scores and prices are finite, in units of their own; `width` ≥ 0. With `width` 0 and
   * `floor` −∞ a score may be −∞, of an expert that is never among the K.
   */
  relaxedTopK(
    scores: Float64Array,
    price: Float64Array,
    width: number,
    floor: number,
    tokens: number,
    experts: number,
    topK: number,
    threshold: Float64Array,
    mass: Float64Array,
    curvature: Float64Array | null,
  ): number;

  /**
   * The rows of a transport plan with at most `topK` non-zeros each, at given potentials of the experts. For each row of
   * v_te = affinity[t, e] + potential[e] it solves
   *
   *     max over p ≥ 0, Σ_e p_e = 1, at most topK non-zeros, of  ⟨v, p⟩ − (gamma/2)·‖p‖²
   *
   * whose solution is the projection of the topK largest of v/gamma on the simplex, p_e = [v_e − τ]_+ / gamma (Liu,
   * Puigcerver & Blondel 2022, arXiv 2209.15466). Writes these topK experts, descending, ties to the lower index, into
   * `expert` and their p into `mass`, both `[tokens × topK]`, and adds Σ_t p to `columnSum` `[experts]`. Returns Σ_t of the
   * maximum.
   *
   * Affinities are finite, or −∞ for an expert that is never among the topK: slots that are left get −1 and mass 0, and a
   * row without any other value is worth 0. Potentials are finite; `gamma` > 0, in the unit of both.
   */
  sparseRows(
    affinity: Float32Array,
    potential: Float64Array,
    gamma: number,
    tokens: number,
    experts: number,
    topK: number,
    expert: Int32Array,
    mass: Float64Array,
    columnSum: Float64Array,
  ): number;

  /**
   * The columns of a transport plan with at most k = `maxTokens` non-zeros each, at given potentials of the tokens. Column e
   * takes the k largest of s_te = alpha[t] − cost[e·tokens + t], ties to the lower token, that are above −beta[e], and
   * holds p_te = (s_te + beta[e]) / gamma at these (Liu, Puigcerver & Blondel 2022, arXiv 2209.15466, eq. 9 and 11). With a
   * `columnMass` b > 0 beta is an output: what makes the column sum to b, so that p is the projection of the k largest of
   * s_e/gamma on the simplex of mass b (eq. 10 and 12). With null it is given.
   *
   * Writes how many non-zeros column e has into `count` `[experts]`, and them into `token` and `mass` from e·maxTokens on,
   * tokens in ascending order; Σ_t gamma·p_te and Σ_t (gamma·p_te)² into `slackSum` and `slackSquares` `[experts]`; and adds
   * Σ_e p_te to `rowSum` `[tokens]`.
   *
   * `near` `[experts × 2]` is where the search for each column's k-th largest value begins, and is overwritten by where the
   * next should: NaN at first. It changes the time, never the result. Costs and potentials are finite, 1 ≤ k ≤ tokens, and
   * `gamma` > 0 is in the unit of both.
   */
  sparseColumns(
    cost: Float64Array,
    alpha: Float64Array,
    beta: Float64Array,
    columnMass: number | null,
    gamma: number,
    tokens: number,
    experts: number,
    maxTokens: number,
    near: Float64Array,
    count: Int32Array,
    token: Int32Array,
    mass: Float64Array,
    slackSum: Float64Array,
    slackSquares: Float64Array,
    rowSum: Float64Array,
  ): void;

  /**
   * Writes the largest affinity of each token to `largest` `[tokens]`, and by how much each is below it to `cost`, by columns:
   * entry e·tokens + t is largest[t] − affinity[t, e]. `affinity` `[tokens × experts]` is finite.
   */
  columnCosts(affinity: Float32Array, tokens: number, experts: number, cost: Float64Array, largest: Float64Array): void;

  /**
   * Writes τ of each token to `threshold` `[tokens]`, where Σ_e max(0, affinity[t, e] + shift[t] − τ) = `mass` > 0: what the
   * projection of the shifted row on the simplex of that mass subtracts. `affinity` `[tokens × experts]` is finite. Michelot
   * 1986.
   */
  rowThresholds(
    affinity: Float32Array,
    shift: Float64Array,
    mass: number,
    tokens: number,
    experts: number,
    threshold: Float64Array,
  ): void;

  /**
   * `out[t]` = log Σ_e exp(logits[t, e]), `[tokens]`, accumulated in float64; −∞ for a token with every expert disabled,
   * else finite.
   */
  logSumExpRows(logits: Float32Array, tokens: number, experts: number, out: Float64Array): void;

  /**
   * Writes into `expert` `[tokens × topK]` the `topK` experts with the largest key of each row, in descending order of
   * the key, ties to the lower index, and into `load` `[experts]` how many tokens each expert was given. The key of
   * expert e is key(logits[t, e]) + bias[e]: keys that float32 cannot tell apart are recomputed in float64, so that the
   * choice, ties included, is the one of a float64 implementation with softmax exp(z − max) / Σ exp(z − max), sigmoid
   * 1 / (1 + exp(−z)) and sqrt-softplus √log(1 + exp(z)). Where it finds equal keys and the biases are equal too, the
   * logits decide: a sigmoid of 50 and one of 60 are the same float64, but not the same affinity. With `bias` null every
   * `ScoreKind` ranks as the logits do, which are compared exactly.
   */
  selectTopK(
    logits: Float32Array,
    key: ScoreKind,
    bias: Float64Array | null,
    tokens: number,
    experts: number,
    topK: number,
    expert: Int32Array,
    load: Int32Array,
  ): void;

  /**
   * As {@link selectTopK} with a bias, but of the experts in the `topGroups` best of `groups` equal contiguous groups only,
   * at most `quota` of each. A group's score is the sum of its two largest keys, or the largest if it has but one expert
   * that is not disabled or `groupScore` says so; ties between groups go to the lower one. Scores are decided in float64
   * where float32 cannot. Slots that the kept groups have no enabled expert for hold −1. `groups` divides `experts`, and
   * topK ≤ topGroups · min(quota, experts / groups).
   */
  selectGroupedTopK(
    logits: Float32Array,
    key: ScoreKind,
    bias: Float64Array,
    limit: GroupLimit,
    tokens: number,
    experts: number,
    topK: number,
    expert: Int32Array,
    load: Int32Array,
  ): void;

  /**
   * Writes to `gradient` `[experts]` that of Σ_t Σ_e load[e] · p_te with respect to one offset per expert that is added to
   * every row of `logits` `[tokens × experts]`. p are the shares of {@link addShares}: the `affinities` divided by their sum.
   *
   *     gradient[j] = Σ_t p_tj · (∂log S_tj / ∂Z_tj) · (load[j] − Σ_e load[e] · p_te)
   *
   * The slope of log S is 1 for a softmax, in which it cancels. For a softmax, the terms of four rows are summed in float32,
   * these sums in float64. With d_e = load[e] − mean load, the error is below 2e-6 · Σ_t p_tj · (|d_j| + Σ_e |d_e| · p_te):
   * equal loads give exactly 0. For the other kinds everything is float64 and all sums are taken in order.
   */
  loadGradient(
    logits: Float32Array,
    kind: Exclude<ScoreKind, "logits">,
    load: Int32Array,
    tokens: number,
    experts: number,
    gradient: Float64Array,
  ): void;

  /**
   * Gates `[tokens × slots]` of the selected experts from S: S itself, or S divided by the sum over the token's
   * selected experts when `renormalize` (computed so that rows whose S underflow still sum to 1; of "logits", which can be
   * negative, their softmax over the selected experts). Slots with expert −1 get 0.
   */
  gates(
    logits: Float32Array,
    kind: ScoreKind,
    renormalize: boolean,
    expert: Int32Array,
    tokens: number,
    experts: number,
    slots: number,
    gate: Float32Array,
  ): void;

  /**
   * Selects by an entropic plan softmax(logits/epsilon + columnPotential) without writing it down: `expert` and `load` as
   * {@link selectTopK} by the key "logits" with the bias epsilon · columnPotential, which orders a row as its plan does,
   * and `gate` `[tokens × topK]`, the plan's entries of the selected experts divided by their sum, relative error below
   * 5e-7.
   */
  selectByPlan(
    logits: Float32Array,
    columnPotential: Float64Array,
    epsilon: number,
    tokens: number,
    experts: number,
    topK: number,
    expert: Int32Array,
    load: Int32Array,
    gate: Float32Array,
  ): void;

  /**
   * The Gibbs kernel `gibbs[t, e] = exp((logits[t, e] − max_e logits[t]) / epsilon)`, entries in (0, 1] `[tokens ×
   * experts]` whose relative error is below 2.5e-7 + 1.8e-7·|x|, x the exponent, and the first {@link sinkhornSweep} over it,
   * with column scalings of 1. Returns the largest exponent's magnitude, max over rows of (max − min) / epsilon, Infinity if
   * float32 does not hold it: where it exceeds 80, entries underflow, nothing of the output is to be read and
   * {@link logSinkhornSweep} must be used instead.
   */
  gibbsSweep(
    logits: Float32Array,
    epsilon: number,
    tokens: number,
    experts: number,
    gibbs: Float32Array,
    columnSum: Float64Array,
  ): number;

  /**
   * One fused Sinkhorn sweep over a Gibbs kernel, each row read once while it is in cache: row scalings
   * u_t = 1 / Σ_e gibbs[t, e]·columnScaling[e], so that rows are exact, and
   * `columnSum[e]` = Σ_t u_t · gibbs[t, e] · columnScaling[e], the column marginal the plan then has.
   */
  sinkhornSweep(
    gibbs: Float32Array,
    columnScaling: Float32Array,
    tokens: number,
    experts: number,
    columnSum: Float64Array,
  ): void;

  /**
   * The same sweep in float64 and the log domain, for any finite logits and epsilon: with rows exact,
   * `logColumnSum[e]` = log Σ_t exp(logits[t, e]/epsilon + columnPotential[e] − rowLogSum_t), finite whatever the
   * range, −∞ for an expert that is disabled for every token. Each token must have an enabled expert. `rowLogSum` `[tokens]` and the two `[experts]` arrays are float64.
   */
  logSinkhornSweep(
    logits: Float32Array,
    epsilon: number,
    columnPotential: Float64Array,
    tokens: number,
    experts: number,
    rowLogSum: Float64Array,
    logColumnSum: Float64Array,
  ): void;

  /**
   * The plan `out[t, e] = softmax over e of (logits[t, e]/epsilon + columnPotential[e])`, float32 `[tokens × experts]`,
   * rows that sum to 1.
   */
  entropicPlan(
    logits: Float32Array,
    columnPotential: Float64Array,
    epsilon: number,
    tokens: number,
    experts: number,
    out: Float32Array,
  ): void;

  /**
   * The Hessian of Σ_t log Σ_e exp(logits[t, e]/epsilon + g_e) in g = `columnPotential`, from the large entries of the
   * plan alone. With p̃_t the entries p_te ≥ `threshold` of row t of the plan and σ_t their sum,
   *
   *     hessian = Σ_t diag(p̃_t) − p̃_t·p̃_tᵀ / σ_t,     [experts × experts]
   *
   * symmetric, positive semi-definite and with rows that sum to 0 whatever the threshold ≥ 0; with 0 it is the exact
   * diag(Pᵀ1) − PᵀP. `rowLogSum` `[tokens]` as {@link logSinkhornSweep} leaves it for the same potential. Entries are
   * sums of terms of one sign, each to a relative error of 1e-14 plus that of the exponents.
   */
  entropicHessian(
    logits: Float32Array,
    epsilon: number,
    columnPotential: Float64Array,
    rowLogSum: Float64Array,
    threshold: number,
    tokens: number,
    experts: number,
    hessian: Float64Array,
  ): void;

  /**
   * For each expert the `capacity` tokens with the largest logit-derived key of its column (ties to the lower token):
   * `chosen` `[experts × capacity]`, tokens in ascending order, capacity ≤ tokens. With `softmax` the key is S, which
   * is not monotone in the logits along a column; near-ties are settled in float64 as in {@link selectTopK}, by log S where
   * S is below e^−700. The other kinds rank as the logits do, which are compared exactly. Tokens that the expert is
   * disabled for come last: they are chosen where there are fewer than `capacity` others.
   */
  selectTokens(
    logits: Float32Array,
    key: ScoreKind,
    tokens: number,
    experts: number,
    capacity: number,
    chosen: Int32Array,
  ): void;

  /**
   * The `rank`-th largest over the tokens of scores[t, e] − shift[t], exactly, into `out` `[experts]`. `scores` `[tokens ×
   * experts]` and `shift` `[tokens]` are float64; scores may be −∞, the shift is finite; 1 ≤ rank ≤ tokens.
   */
  columnQuantiles(
    scores: Float64Array,
    shift: Float64Array,
    tokens: number,
    experts: number,
    rank: number,
    out: Float64Array,
  ): void;

  /**
   * As {@link selectTopK} with a bias, topK < experts, and writes what {@link priceQuantiles} reads for the same logits and bias.
   */
  selectByPrice(
    logits: Float32Array,
    kind: ScoreKind,
    bias: Float64Array,
    tokens: number,
    experts: number,
    topK: number,
    expert: Int32Array,
    load: Int32Array,
    excess: PriceExcess,
  ): void;

  /**
   * The `rank`-th largest over the tokens of S − α, exactly, into `out` `[experts]`, with α the (topK + 1)-th largest S + bias
   * of each token: −bias for the expert that has it, else the float64 difference. `excess` is as {@link selectByPrice}
   * leaves it; 1 ≤ rank ≤ tokens. −∞ and ∞ where disabled experts leave no other number.
   */
  priceQuantiles(
    logits: Float32Array,
    kind: ScoreKind,
    bias: Float64Array,
    excess: PriceExcess,
    tokens: number,
    experts: number,
    topK: number,
    rank: number,
    out: Float64Array,
  ): void;

  /**
   * S of each selected pair in float64 into `pairScore` `[tokens × slots]`, as {@link affinities}, 0 where expert is −1. `logSumExp`
   * `[tokens]` as from {@link logSumExpRows}; read only for `softmax`.
   */
  pairScores(
    logits: Float32Array,
    kind: ScoreKind,
    logSumExp: Float64Array,
    expert: Int32Array,
    tokens: number,
    experts: number,
    slots: number,
    pairScore: Float64Array,
  ): void;

  /**
   * Where the pairs of one node of an exchange graph can go, and what that loses. The node's pairs are `first`,
   * `next[first]`, … until −1; a pair belongs to token ⌊pair / topK⌋ and holds score `held[pair]`. For each expert e the
   * least `held[pair]` − `joining[token, e]` goes into `loss[e]` and that pair into `mover[e]`; the least `held[pair]`
   * itself into `loss[experts]` and `mover[experts]`; the first in the list's order among equals. +∞ and −1 where every
   * `joining` is −∞, or there is no pair. `joining` `[tokens × experts]` and `held` are float64, `loss` and `mover`
   * `[experts + 1]`.
   */
  leastLosses(
    joining: Float64Array,
    held: Float64Array,
    first: number,
    next: Int32Array,
    topK: number,
    experts: number,
    loss: Float64Array,
    mover: Int32Array,
  ): void;
}

/** Numbers in the parameters of an expert; see {@link Kernels.expertForward}. */
export function expertParameters(width: number, hidden: number): number {
  return 2 * width * hidden + hidden + width;
}

/** Where a stream that trains computes its tensors beside kernels of `backend`: a `TensorBackend`. */
export function tensorBackendOf(backend: Kernels["backend"]): "tensorflow" | "wasm" {
  return backend === "tfjs-gpu" ? "tensorflow" : "wasm";
}

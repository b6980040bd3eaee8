import type { ScoreKind } from "../assignment.ts";
import { InputError } from "../input-error.ts";
import { platform } from "../platform.ts";
import { expertParameters, type Kernels } from "./kernels.ts";
import { createLinearMemory } from "./memory.ts";

/** What `assembly/index.ts` exports; arrays are byte addresses in the imported memory. */
interface Assembly {
  heapBase(): number;
  normalScratch(): number;
  fillNormal(state: number, out: number, length: number, scratch: number): void;
  addNormal(state: number, values: number, deviation: number, length: number, out: number, scratch: number): void;
  addOffsets(values: number, offset: number, tokens: number, experts: number, out: number): void;
  gatherRows(table: number, index: number, rows: number, columns: number, out: number): void;
  hashRows(values: number, seed: number, tokens: number, experts: number, hash: number): void;
  multiplyScratch(inner: number, columns: number): number;
  columnsScratch(): number;
  multiply(
    left: number,
    right: number,
    out: number,
    rows: number,
    inner: number,
    columns: number,
    accumulate: boolean,
    scratch: number,
  ): void;
  multiplyRightTransposed(
    left: number,
    right: number,
    out: number,
    rows: number,
    inner: number,
    columns: number,
    accumulate: boolean,
    scratch: number,
  ): void;
  multiplyLeftTransposed(
    left: number,
    right: number,
    out: number,
    rows: number,
    leftColumns: number,
    columns: number,
    scratch: number,
  ): void;
  sumRows(values: number, rows: number, columns: number, out: number): void;
  scatterRows(values: number, index: number, rows: number, columns: number, table: number): void;
  expertScratch(width: number, hidden: number): number;
  expertForward(
    tokens: number,
    token: number,
    start: number,
    end: number,
    parameters: number,
    width: number,
    hidden: number,
    inner: number,
    output: number,
    scratch: number,
  ): void;
  expertBackward(
    tokens: number,
    token: number,
    gate: number,
    start: number,
    end: number,
    parameters: number,
    width: number,
    hidden: number,
    inner: number,
    outputGradient: number,
    tokenGradient: number,
    gradient: number,
    scratch: number,
  ): void;
  combineRows(
    values: number,
    pair: number,
    weight: number,
    tokens: number,
    slots: number,
    columns: number,
    out: number,
  ): void;
  rowProducts(left: number, right: number, index: number, rows: number, columns: number, out: number): void;
  crossEntropy(logits: number, target: number, rows: number, columns: number, gradient: number): number;
  squaredError(values: number, targets: number, length: number, gradient: number): number;
  adam(
    values: number,
    first: number,
    second: number,
    gradient: number,
    length: number,
    rate: number,
    secondScale: number,
  ): void;
  softmaxScores(logits: number, tokens: number, experts: number, scores: number): void;
  sigmoidScores(logits: number, entries: number, scores: number): void;
  sqrtSoftplusScores(logits: number, entries: number, scores: number): void;
  logitAffinities(logits: number, entries: number, out: number): void;
  softmaxAffinities(logits: number, tokens: number, experts: number, out: number): void;
  sigmoidAffinities(logits: number, entries: number, out: number): void;
  sqrtSoftplusAffinities(logits: number, entries: number, out: number): void;
  sharesScratch(experts: number): number;
  addShares(logits: number, kind: number, tokens: number, experts: number, share: number, scratch: number): void;
  relaxedTopKScratch(experts: number, topK: number): number;
  relaxedTopK(
    scores: number,
    price: number,
    width: number,
    floor: number,
    tokens: number,
    experts: number,
    topK: number,
    threshold: number,
    mass: number,
    curvature: number,
    scratch: number,
  ): number;
  columnCosts(affinity: number, tokens: number, experts: number, cost: number, largest: number): void;
  rowThresholdsScratch(experts: number): number;
  rowThresholds(
    affinity: number,
    shift: number,
    mass: number,
    tokens: number,
    experts: number,
    threshold: number,
    scratch: number,
  ): void;
  sparseColumnsScratch(tokens: number): number;
  sparseColumns(
    cost: number,
    alpha: number,
    beta: number,
    columnMass: number,
    gamma: number,
    tokens: number,
    experts: number,
    maxTokens: number,
    near: number,
    count: number,
    token: number,
    mass: number,
    slackSum: number,
    slackSquares: number,
    rowSum: number,
    scratch: number,
  ): void;
  sparseRowsScratch(experts: number): number;
  sparseRows(
    affinity: number,
    potential: number,
    gamma: number,
    tokens: number,
    experts: number,
    topK: number,
    expert: number,
    mass: number,
    columnSum: number,
    scratch: number,
  ): number;
  logSumExpRows(logits: number, tokens: number, experts: number, out: number): void;
  pairScores(
    logits: number,
    kind: number,
    logSumExp: number,
    expert: number,
    tokens: number,
    experts: number,
    slots: number,
    out: number,
  ): void;
  selectScratch(experts: number): number;
  selectTopK(
    logits: number,
    tokens: number,
    experts: number,
    topK: number,
    expert: number,
    load: number,
    scratch: number,
  ): void;
  selectTopKBiased(
    logits: number,
    kind: number,
    bias: number,
    tokens: number,
    experts: number,
    topK: number,
    expert: number,
    load: number,
    scratch: number,
  ): void;
  groupedScratch(experts: number): number;
  selectGroupedTopK(
    logits: number,
    kind: number,
    bias: number,
    groups: number,
    topGroups: number,
    onlyLargest: boolean,
    quota: number,
    tokens: number,
    experts: number,
    topK: number,
    expert: number,
    load: number,
    scratch: number,
  ): void;
  leastLosses(
    joining: number,
    held: number,
    first: number,
    next: number,
    topK: number,
    experts: number,
    loss: number,
    mover: number,
  ): void;
  loadGradientScratch(experts: number): number;
  loadGradient(
    logits: number,
    kind: number,
    load: number,
    tokens: number,
    experts: number,
    gradient: number,
    scratch: number,
  ): void;
  normalisedSoftmaxGates: Gates;
  normalisedSigmoidGates: Gates;
  normalisedSqrtSoftplusGates: Gates;
  softmaxGates: Gates;
  sigmoidGates: Gates;
  sqrtSoftplusGates: Gates;
  logitGates: Gates;
  rowScratch(experts: number): number;
  planScratch(experts: number, topK: number): number;
  selectByPlan(
    logits: number,
    columnPotential: number,
    epsilon: number,
    tokens: number,
    experts: number,
    topK: number,
    expert: number,
    load: number,
    gate: number,
    scratch: number,
  ): void;
  gibbsSweep(
    logits: number,
    epsilon: number,
    tokens: number,
    experts: number,
    gibbs: number,
    columnSum: number,
    scratch: number,
  ): number;
  sinkhornSweep(
    gibbs: number,
    columnScaling: number,
    tokens: number,
    experts: number,
    columnSum: number,
    scratch: number,
  ): void;
  logSinkhornSweep(
    logits: number,
    epsilon: number,
    columnPotential: number,
    tokens: number,
    experts: number,
    rowLogSum: number,
    logColumnSum: number,
    scratch: number,
  ): void;
  entropicPlan(
    logits: number,
    columnPotential: number,
    epsilon: number,
    tokens: number,
    experts: number,
    out: number,
    scratch: number,
  ): void;
  entropicHessianScratch(experts: number): number;
  entropicHessian(
    logits: number,
    epsilon: number,
    columnPotential: number,
    rowLogSum: number,
    threshold: number,
    tokens: number,
    experts: number,
    hessian: number,
    scratch: number,
  ): void;
  quantilesScratch(tokens: number): number;
  columnQuantiles(
    scores: number,
    shift: number,
    tokens: number,
    experts: number,
    rank: number,
    out: number,
    scratch: number,
  ): void;
  selectByPrice(
    logits: number,
    kind: number,
    bias: number,
    tokens: number,
    experts: number,
    topK: number,
    expert: number,
    load: number,
    excess: number,
    error: number,
    gap: number,
    next: number,
    room: number,
    listCount: number,
    listKey: number,
    listToken: number,
    reach: number,
    scratch: number,
  ): void;
  priceQuantilesScratch(tokens: number, experts: number, topK: number): number;
  priceQuantiles(
    logits: number,
    kind: number,
    bias: number,
    excess: number,
    error: number,
    next: number,
    room: number,
    listCount: number,
    listKey: number,
    listToken: number,
    reach: number,
    tokens: number,
    experts: number,
    topK: number,
    rank: number,
    out: number,
    scratch: number,
  ): void;
  tokensScratch(tokens: number): number;
  selectTokens(
    logits: number,
    softmax: boolean,
    tokens: number,
    experts: number,
    capacity: number,
    chosen: number,
    scratch: number,
  ): void;
}

type Gates = (logits: number, expert: number, tokens: number, experts: number, slots: number, gate: number) => void;

/** As `assembly/kinds.ts` numbers them. */
const kindNumbers: Record<ScoreKind, number> = { logits: 0, softmax: 1, sigmoid: 2, "sqrt-softplus": 3 };

const normalisedGates = {
  softmax: "normalisedSoftmaxGates",
  sigmoid: "normalisedSigmoidGates",
  "sqrt-softplus": "normalisedSqrtSoftplusGates",
  logits: "normalisedSoftmaxGates",
} as const;

const rawGates = {
  softmax: "softmaxGates",
  sigmoid: "sigmoidGates",
  "sqrt-softplus": "sqrtSoftplusGates",
  logits: "logitGates",
} as const;

const hostFunctions = { exp: Math.exp, log: Math.log, log1p: Math.log1p };

let compiled: WebAssembly.Module | undefined;

/** Throws `WebAssembly.CompileError` if `bytes` are not those of `build/kernels.wasm`. */
function compileKernels(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  return new WebAssembly.Module(bytes);
}

/**
 * A memory and an instance of the kernels in it. Throws `InputError` if the process may not have the address space: that
 * is a limit of its surroundings, which the user can raise.
 */
function instantiate(): { memory: WebAssembly.Memory; exports: object } {
  compiled ??= compileKernels(platform().kernels());
  try {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
    const { exports } = new WebAssembly.Instance(compiled, { env: { memory }, host: hostFunctions });
    return { memory, exports };
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new InputError(
      "The system grants no address space for the kernels: WebAssembly reserves 10 GB of it for each thread, without " +
        "using them. Raise the limit (ulimit -v), lower --workers, or set NODE_OPTIONS=--disable-wasm-trap-handler, " +
        "with which 4 GB are enough and kernels are slower.",
      { cause },
    );
  }
}

/**
 * The kernels in WebAssembly SIMD, deterministic on every machine. All arrays live in one memory of at most 4 GiB that
 * only grows. A kernel throws `TypeError` for an array of another instance and `RangeError` for one that is too short.
 *
 * Throws `Error` when the compiled kernels are missing, and `InputError` when there is no address space for their memory.
 */
export function createWasmKernels(): Kernels {
  const { memory, exports } = instantiate();
  const assembly = exports as unknown as Assembly;
  const linear = createLinearMemory(memory, assembly.heapBase());
  let scratchAddress = 0;
  let scratchBytes = 0;

  /** Working memory for one call; grows with the largest sizes seen and is then kept. */
  function scratch(bytes: number): number {
    if (bytes > scratchBytes) {
      scratchAddress = linear.allocate(bytes);
      scratchBytes = bytes;
    }
    return scratchAddress;
  }

  function addressOf(array: Float32Array | Float64Array | Int32Array | Uint32Array, length: number): number {
    if (array.length < length) {
      throw new RangeError(`A kernel was given an array of ${array.length} where it needs ${length}.`);
    }
    return linear.addressOf(array);
  }

  type Rows = (from: number, tokens: number, experts: number, to: number) => void;
  // Looked up rather than compared one by one: a kind that is none of these then throws, instead of being taken for another.
  const writeScores: Record<Exclude<ScoreKind, "logits">, Rows> = {
    softmax: (from, tokens, experts, to) => assembly.softmaxScores(from, tokens, experts, to),
    sigmoid: (from, tokens, experts, to) => assembly.sigmoidScores(from, tokens * experts, to),
    "sqrt-softplus": (from, tokens, experts, to) => assembly.sqrtSoftplusScores(from, tokens * experts, to),
  };
  const writeAffinities: Record<ScoreKind, Rows> = {
    logits: (from, tokens, experts, to) => assembly.logitAffinities(from, tokens * experts, to),
    softmax: (from, tokens, experts, to) => assembly.softmaxAffinities(from, tokens, experts, to),
    sigmoid: (from, tokens, experts, to) => assembly.sigmoidAffinities(from, tokens * experts, to),
    "sqrt-softplus": (from, tokens, experts, to) => assembly.sqrtSoftplusAffinities(from, tokens * experts, to),
  };

  return {
    backend: "wasm",
    allocateFloat32(length) {
      const address = linear.allocate(4 * length);
      return new Float32Array(linear.buffer(), address, length);
    },
    allocateFloat64(length) {
      const address = linear.allocate(8 * length);
      return new Float64Array(linear.buffer(), address, length);
    },
    allocateInt32(length) {
      const address = linear.allocate(4 * length);
      return new Int32Array(linear.buffer(), address, length);
    },
    allocateUint32(length) {
      const address = linear.allocate(4 * length);
      return new Uint32Array(linear.buffer(), address, length);
    },

    fillNormal(state, out, length) {
      const block = scratch(assembly.normalScratch());
      assembly.fillNormal(addressOf(state, 16), addressOf(out, length), length, block);
    },

    addNormal(state, values, deviation, length, out) {
      const [from, to] = [addressOf(values, length), addressOf(out, length)];
      const block = scratch(assembly.normalScratch());
      assembly.addNormal(addressOf(state, 16), from, deviation, length, to, block);
    },

    addOffsets(values, offset, tokens, experts, out) {
      const entries = tokens * experts;
      const [from, to] = [addressOf(values, entries), addressOf(out, entries)];
      assembly.addOffsets(from, addressOf(offset, experts), tokens, experts, to);
    },

    gatherRows(table, index, rows, columns, out) {
      const [from, to] = [addressOf(table, columns), addressOf(out, rows * columns)];
      assembly.gatherRows(from, addressOf(index, rows), rows, columns, to);
    },

    hashRows(values, seed, tokens, experts, hash) {
      assembly.hashRows(addressOf(values, tokens * experts), seed, tokens, experts, addressOf(hash, tokens));
    },

    multiply(left, right, out, rows, inner, columns, accumulate) {
      assembly.multiply(
        addressOf(left, rows * inner),
        addressOf(right, inner * columns),
        addressOf(out, rows * columns),
        rows,
        inner,
        columns,
        accumulate,
        scratch(assembly.multiplyScratch(inner, columns)),
      );
    },

    multiplyRightTransposed(left, right, out, rows, inner, columns, accumulate) {
      assembly.multiplyRightTransposed(
        addressOf(left, rows * inner),
        addressOf(right, columns * inner),
        addressOf(out, rows * columns),
        rows,
        inner,
        columns,
        accumulate,
        scratch(assembly.multiplyScratch(inner, columns)),
      );
    },

    multiplyLeftTransposed(left, right, out, rows, leftColumns, columns) {
      assembly.multiplyLeftTransposed(
        addressOf(left, rows * leftColumns),
        addressOf(right, rows * columns),
        addressOf(out, leftColumns * columns),
        rows,
        leftColumns,
        columns,
        scratch(assembly.columnsScratch()),
      );
    },

    sumRows(values, rows, columns, out) {
      assembly.sumRows(addressOf(values, rows * columns), rows, columns, addressOf(out, columns));
    },

    scatterRows(values, index, rows, columns, table) {
      assembly.scatterRows(
        addressOf(values, rows * columns),
        addressOf(index, rows),
        rows,
        columns,
        addressOf(table, columns),
      );
    },

    expertForward(tokens, token, start, end, parameters, width, hidden, inner, output) {
      assembly.expertForward(
        addressOf(tokens, width),
        addressOf(token, end),
        start,
        end,
        addressOf(parameters, expertParameters(width, hidden)),
        width,
        hidden,
        addressOf(inner, end * hidden),
        addressOf(output, end * width),
        scratch(assembly.expertScratch(width, hidden)),
      );
    },

    expertBackward(
      tokens,
      token,
      gate,
      start,
      end,
      parameters,
      width,
      hidden,
      inner,
      outputGradient,
      tokenGradient,
      gradient,
    ) {
      assembly.expertBackward(
        addressOf(tokens, width),
        addressOf(token, end),
        addressOf(gate, end),
        start,
        end,
        addressOf(parameters, expertParameters(width, hidden)),
        width,
        hidden,
        addressOf(inner, end * hidden),
        addressOf(outputGradient, width),
        tokenGradient === null ? 0 : addressOf(tokenGradient, end * width),
        addressOf(gradient, expertParameters(width, hidden)),
        scratch(assembly.expertScratch(width, hidden)),
      );
    },

    combineRows(values, pair, weight, tokens, slots, columns, out) {
      assembly.combineRows(
        addressOf(values, 0),
        addressOf(pair, tokens * slots),
        weight === null ? 0 : addressOf(weight, 0),
        tokens,
        slots,
        columns,
        addressOf(out, tokens * columns),
      );
    },

    rowProducts(left, right, index, rows, columns, out) {
      assembly.rowProducts(
        addressOf(left, rows * columns),
        addressOf(right, columns),
        addressOf(index, rows),
        rows,
        columns,
        addressOf(out, rows),
      );
    },

    crossEntropy(logits, target, rows, columns, gradient) {
      return assembly.crossEntropy(
        addressOf(logits, rows * columns),
        addressOf(target, rows),
        rows,
        columns,
        addressOf(gradient, rows * columns),
      );
    },

    squaredError(values, targets, length, gradient) {
      return assembly.squaredError(
        addressOf(values, length),
        addressOf(targets, length),
        length,
        addressOf(gradient, length),
      );
    },

    adam(values, first, second, gradient, length, rate, secondScale) {
      assembly.adam(
        addressOf(values, length),
        addressOf(first, length),
        addressOf(second, length),
        addressOf(gradient, length),
        length,
        rate,
        secondScale,
      );
    },

    scores(logits, kind, tokens, experts, scores) {
      const entries = tokens * experts;
      const from = addressOf(logits, entries);
      const to = addressOf(scores, entries);
      if (kind === "logits") scores.set(logits.subarray(0, entries));
      else writeScores[kind](from, tokens, experts, to);
    },

    affinities(logits, kind, tokens, experts, out) {
      const entries = tokens * experts;
      const from = addressOf(logits, entries);
      const to = addressOf(out, entries);
      writeAffinities[kind](from, tokens, experts, to);
    },

    addShares(logits, kind, tokens, experts, share) {
      const [from, to] = [addressOf(logits, tokens * experts), addressOf(share, experts)];
      assembly.addShares(from, kindNumbers[kind], tokens, experts, to, scratch(assembly.sharesScratch(experts)));
    },

    relaxedTopK(scores, price, width, floor, tokens, experts, topK, threshold, mass, curvature) {
      return assembly.relaxedTopK(
        addressOf(scores, tokens * experts),
        addressOf(price, experts),
        width,
        floor,
        tokens,
        experts,
        topK,
        addressOf(threshold, tokens),
        addressOf(mass, experts),
        curvature === null ? 0 : addressOf(curvature, experts * experts),
        scratch(assembly.relaxedTopKScratch(experts, topK)),
      );
    },

    sparseColumns(
      cost,
      alpha,
      beta,
      columnMass,
      gamma,
      tokens,
      experts,
      maxTokens,
      near,
      count,
      token,
      mass,
      slackSum,
      slackSquares,
      rowSum,
    ) {
      assembly.sparseColumns(
        addressOf(cost, tokens * experts),
        addressOf(alpha, tokens),
        addressOf(beta, experts),
        columnMass ?? 0,
        gamma,
        tokens,
        experts,
        maxTokens,
        addressOf(near, 2 * experts),
        addressOf(count, experts),
        addressOf(token, experts * maxTokens),
        addressOf(mass, experts * maxTokens),
        addressOf(slackSum, experts),
        addressOf(slackSquares, experts),
        addressOf(rowSum, tokens),
        scratch(assembly.sparseColumnsScratch(tokens)),
      );
    },

    columnCosts(affinity, tokens, experts, cost, largest) {
      const entries = tokens * experts;
      const [from, to] = [addressOf(affinity, entries), addressOf(cost, entries)];
      assembly.columnCosts(from, tokens, experts, to, addressOf(largest, tokens));
    },

    rowThresholds(affinity, shift, mass, tokens, experts, threshold) {
      assembly.rowThresholds(
        addressOf(affinity, tokens * experts),
        addressOf(shift, tokens),
        mass,
        tokens,
        experts,
        addressOf(threshold, tokens),
        scratch(assembly.rowThresholdsScratch(experts)),
      );
    },

    sparseRows(affinity, potential, gamma, tokens, experts, topK, expert, mass, columnSum) {
      return assembly.sparseRows(
        addressOf(affinity, tokens * experts),
        addressOf(potential, experts),
        gamma,
        tokens,
        experts,
        topK,
        addressOf(expert, tokens * topK),
        addressOf(mass, tokens * topK),
        addressOf(columnSum, experts),
        scratch(assembly.sparseRowsScratch(experts)),
      );
    },

    logSumExpRows(logits, tokens, experts, out) {
      assembly.logSumExpRows(addressOf(logits, tokens * experts), tokens, experts, addressOf(out, tokens));
    },

    selectTopK(logits, key, bias, tokens, experts, topK, expert, load) {
      const from = addressOf(logits, tokens * experts);
      const to = addressOf(expert, tokens * topK);
      const loads = addressOf(load, experts);
      const work = scratch(assembly.selectScratch(experts));
      if (bias === null) {
        assembly.selectTopK(from, tokens, experts, topK, to, loads, work);
      } else {
        const biases = addressOf(bias, experts);
        assembly.selectTopKBiased(from, kindNumbers[key], biases, tokens, experts, topK, to, loads, work);
      }
    },

    selectGroupedTopK(
      logits,
      key,
      bias,
      { groups, topGroups, groupScore, quota },
      tokens,
      experts,
      topK,
      expert,
      load,
    ) {
      assembly.selectGroupedTopK(
        addressOf(logits, tokens * experts),
        kindNumbers[key],
        addressOf(bias, experts),
        groups,
        topGroups,
        groupScore === "max",
        quota ?? topK,
        tokens,
        experts,
        topK,
        addressOf(expert, tokens * topK),
        addressOf(load, experts),
        scratch(assembly.groupedScratch(experts)),
      );
    },

    loadGradient(logits, kind, load, tokens, experts, gradient) {
      assembly.loadGradient(
        addressOf(logits, tokens * experts),
        kindNumbers[kind],
        addressOf(load, experts),
        tokens,
        experts,
        addressOf(gradient, experts),
        scratch(assembly.loadGradientScratch(experts)),
      );
    },

    gates(logits, kind, renormalize, expert, tokens, experts, slots, gate) {
      const gatesOf = assembly[(renormalize ? normalisedGates : rawGates)[kind]];
      gatesOf(
        addressOf(logits, tokens * experts),
        addressOf(expert, tokens * slots),
        tokens,
        experts,
        slots,
        addressOf(gate, tokens * slots),
      );
    },

    selectByPlan(logits, columnPotential, epsilon, tokens, experts, topK, expert, load, gate) {
      assembly.selectByPlan(
        addressOf(logits, tokens * experts),
        addressOf(columnPotential, experts),
        epsilon,
        tokens,
        experts,
        topK,
        addressOf(expert, tokens * topK),
        addressOf(load, experts),
        addressOf(gate, tokens * topK),
        scratch(assembly.planScratch(experts, topK)),
      );
    },

    gibbsSweep(logits, epsilon, tokens, experts, gibbs, columnSum) {
      const entries = tokens * experts;
      return assembly.gibbsSweep(
        addressOf(logits, entries),
        epsilon,
        tokens,
        experts,
        addressOf(gibbs, entries),
        addressOf(columnSum, experts),
        scratch(assembly.rowScratch(experts)),
      );
    },

    sinkhornSweep(gibbs, columnScaling, tokens, experts, columnSum) {
      assembly.sinkhornSweep(
        addressOf(gibbs, tokens * experts),
        addressOf(columnScaling, experts),
        tokens,
        experts,
        addressOf(columnSum, experts),
        scratch(assembly.rowScratch(experts)),
      );
    },

    logSinkhornSweep(logits, epsilon, columnPotential, tokens, experts, rowLogSum, logColumnSum) {
      assembly.logSinkhornSweep(
        addressOf(logits, tokens * experts),
        epsilon,
        addressOf(columnPotential, experts),
        tokens,
        experts,
        addressOf(rowLogSum, tokens),
        addressOf(logColumnSum, experts),
        scratch(assembly.rowScratch(experts)),
      );
    },

    entropicPlan(logits, columnPotential, epsilon, tokens, experts, out) {
      assembly.entropicPlan(
        addressOf(logits, tokens * experts),
        addressOf(columnPotential, experts),
        epsilon,
        tokens,
        experts,
        addressOf(out, tokens * experts),
        scratch(assembly.rowScratch(experts)),
      );
    },

    entropicHessian(logits, epsilon, columnPotential, rowLogSum, threshold, tokens, experts, hessian) {
      assembly.entropicHessian(
        addressOf(logits, tokens * experts),
        epsilon,
        addressOf(columnPotential, experts),
        addressOf(rowLogSum, tokens),
        threshold,
        tokens,
        experts,
        addressOf(hessian, experts * experts),
        scratch(assembly.entropicHessianScratch(experts)),
      );
    },

    selectTokens(logits, key, tokens, experts, capacity, chosen) {
      assembly.selectTokens(
        addressOf(logits, tokens * experts),
        key === "softmax",
        tokens,
        experts,
        capacity,
        addressOf(chosen, experts * capacity),
        scratch(assembly.tokensScratch(tokens)),
      );
    },

    columnQuantiles(scores, shift, tokens, experts, rank, out) {
      assembly.columnQuantiles(
        addressOf(scores, tokens * experts),
        addressOf(shift, tokens),
        tokens,
        experts,
        rank,
        addressOf(out, experts),
        scratch(assembly.quantilesScratch(tokens)),
      );
    },

    selectByPrice(logits, kind, bias, tokens, experts, topK, expert, load, excess) {
      assembly.selectByPrice(
        addressOf(logits, tokens * experts),
        kindNumbers[kind],
        addressOf(bias, experts),
        tokens,
        experts,
        topK,
        addressOf(expert, tokens * topK),
        addressOf(load, experts),
        addressOf(excess.value, tokens * experts),
        addressOf(excess.error, tokens),
        addressOf(excess.gap, tokens),
        addressOf(excess.next, tokens),
        excess.room,
        addressOf(excess.count, experts),
        addressOf(excess.key, experts * excess.room),
        addressOf(excess.token, experts * excess.room),
        addressOf(excess.reach, 1),
        scratch(assembly.selectScratch(experts)),
      );
    },

    priceQuantiles(logits, kind, bias, excess, tokens, experts, topK, rank, out) {
      assembly.priceQuantiles(
        addressOf(logits, tokens * experts),
        kindNumbers[kind],
        addressOf(bias, experts),
        addressOf(excess.value, tokens * experts),
        addressOf(excess.error, tokens),
        addressOf(excess.next, tokens),
        excess.room,
        addressOf(excess.count, experts),
        addressOf(excess.key, experts * excess.room),
        addressOf(excess.token, experts * excess.room),
        addressOf(excess.reach, 1),
        tokens,
        experts,
        topK,
        rank,
        addressOf(out, experts),
        scratch(assembly.priceQuantilesScratch(tokens, experts, topK)),
      );
    },

    pairScores(logits, kind, logSumExp, expert, tokens, experts, slots, pairScore) {
      assembly.pairScores(
        addressOf(logits, tokens * experts),
        kindNumbers[kind],
        addressOf(logSumExp, kind === "softmax" ? tokens : 0),
        addressOf(expert, tokens * slots),
        tokens,
        experts,
        slots,
        addressOf(pairScore, tokens * slots),
      );
    },

    leastLosses(joining, held, first, next, topK, experts, loss, mover) {
      assembly.leastLosses(
        addressOf(joining, 0),
        addressOf(held, 0),
        first,
        addressOf(next, 0),
        topK,
        experts,
        addressOf(loss, experts + 1),
        addressOf(mover, experts + 1),
      );
    },
  };
}

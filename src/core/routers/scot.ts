import { z } from "zod";
import { expertCapacity, type RoutingShape } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { SolverReport } from "../solver-report.ts";
import { batchCapacity, type TokenBatch } from "../token-batch.ts";
import type { SparsePlan } from "../transport/sparse/sparse-plan.ts";
import { createSparseRowsSolver, type SparseRowsSolution } from "../transport/sparse/sparse-rows.ts";
import {
  createDisablingSolver,
  createSparsityConstrainedSolver,
  type SparsityConstrainedSolver,
  sparsityConstrainedFields,
} from "../transport/sparse/sparsity-constrained.ts";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createScoreGates, meanGateGradient, scoreGateFields } from "./parts/score-gates.ts";
import { createScoreGradient } from "./parts/score-gradient.ts";
import { emptyStateSchema } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const scotOptions = z.strictObject({
  sparsity: z
    .enum(["experts", "tokens"])
    .default("experts")
    .describe("What limits the non-zeros: maxTokens a column (experts choose) or topK a row (tokens choose)."),
  cost: z
    .enum(["scores", "logits"])
    .default("scores")
    .describe("What the plan maximises: the affinities S or the logits Z; gamma is in units of it."),
  maxTokens: z
    .union([z.literal("capacity"), z.number().int().positive()])
    .default("capacity")
    .describe(
      "Most tokens with mass on an expert, with sparsity: experts; capacity is ⌈capacityFactor · tokens · topK / experts⌉.",
    ),
  ...sparsityConstrainedFields,
  gates: z
    .enum(["scores", "plan"])
    .default("scores")
    .describe("Gates of the selected experts: their affinities, or their entries of the plan divided by the sum."),
  ...scoreGateFields(true),
  fallback: z
    .enum(["topk", "none"])
    .default("topk")
    .describe("Slots that the plan leaves empty: the largest affinities (topk) or no expert (none)."),
});

export type ScotOptions = z.infer<typeof scotOptions>;

/** A plan, as the slots of an assignment need it. */
interface SlotPlan {
  /**
   * Solves the batch; `affinities` `[tokens × experts]` are −∞ for disabled experts. Writes the K largest non-zeros of each
   * row, in descending order, and their experts; the remaining slots hold 0 and −1.
   */
  select(batch: TokenBatch, affinities: Float32Array): SolverReport;
  /** Writes the plan of the last batch, whose rows sum to 1 or are all zero. */
  write(tokens: number, out: Float32Array): void;
  /**
   * Writes into `slope` `[topK]` the gradient at the affinities of the token's slots with mass, given `gateGradient`, if
   * its gates are its masses divided by their sum.
   */
  writeSlopes(token: number, gateGradient: Float32Array, slope: Float64Array): void;
}

// Masses this close are the same up to the solver's accuracy.
const massTolerance = 1e-5;

/** A huge gamma overflows the sums of squares; the gap between infinities is not a number. */
const gapField = (dualityGap: number) => (Number.isFinite(dualityGap) ? { dualityGap } : {});

/** Columns of at most k non-zeros: see `sparsity-constrained.ts`. */
function createColumnPlan(
  kernels: Kernels,
  shape: RoutingShape,
  options: ScotOptions,
  expert: Int32Array,
  slotMass: Float64Array,
): SlotPlan {
  const { experts, topK } = shape;
  const { gamma, maxTokens } = options;
  const most = maxTokens === "capacity" ? expertCapacity(shape.tokens, shape) : maxTokens;
  const transport = createSparsityConstrainedSolver(kernels, shape.tokens, experts, most, options);
  let disabling: SparsityConstrainedSolver | undefined;
  let plan: SparsePlan | undefined;

  /** Whether `mass` of expert e comes before the slot: more mass or, if equal, a higher affinity. */
  function precedes(e: number, mass: number, slot: number, affinities: Float32Array, row: number): boolean {
    const difference = mass - slotMass[slot];
    if (Math.abs(difference) > massTolerance || expert[slot] < 0) return difference > 0;
    return affinities[row + e] > affinities[row + expert[slot]];
  }

  /** Inserts the entries of the plan into their tokens' slots, in descending order, ties to the lower expert. */
  function fillSlots({ columnStart, token, mass }: SparsePlan, affinities: Float32Array): void {
    for (let e = 0; e < experts; e++) {
      for (let entry = columnStart[e]; entry < columnStart[e + 1]; entry++) {
        if (mass[entry] === 0) continue;
        const row = token[entry] * experts;
        const first = token[entry] * topK;
        let slot = first + topK;
        while (slot > first && precedes(e, mass[entry], slot - 1, affinities, row)) {
          slot -= 1;
          if (slot + 1 === first + topK) continue;
          slotMass[slot + 1] = slotMass[slot];
          expert[slot + 1] = expert[slot];
        }
        if (slot === first + topK) continue;
        slotMass[slot] = mass[entry];
        expert[slot] = e;
      }
    }
  }

  return {
    select(batch, affinities) {
      const { tokens, hasDisabled } = batch;
      if (hasDisabled) disabling ??= createDisablingSolver(kernels, shape.tokens, experts, shape.tokens, options);
      const solver = hasDisabled && disabling !== undefined ? disabling : transport;
      const solution = solver.solve({
        affinity: affinities,
        tokens,
        maxTokens: maxTokens === "capacity" ? batchCapacity(batch, shape) : maxTokens,
      });
      plan = solution.plan;
      expert.fill(-1);
      slotMass.fill(0);
      fillSlots(plan, affinities);
      const { iterations, marginalError, converged, dualityGap, maxColumnCardinality } = solution;
      return { iterations, marginalError, converged, ...gapField(dualityGap), maxColumnCardinality };
    },
    write(tokens, out) {
      out.fill(0, 0, tokens * experts);
      if (plan === undefined) return;
      const { columnStart, token, mass } = plan;
      for (let e = 0; e < experts; e++) {
        for (let entry = columnStart[e]; entry < columnStart[e + 1]; entry++) {
          out[token[entry] * experts + e] = mass[entry];
        }
      }
    },
    writeSlopes(token, gateGradient, slope) {
      const first = token * topK;
      const mean = meanGateGradient(slotMass, gateGradient, first, first + topK);
      let sum = 0;
      for (let slot = first; slot < first + topK; slot++) sum += slotMass[slot];
      // Of the masses before rows were divided by their sums.
      if (plan !== undefined) sum *= plan.rowSum[token];
      for (let slot = 0; slot < topK; slot++) slope[slot] = (gateGradient[first + slot] - mean) / (gamma * sum);
    },
  };
}

/** Rows of at most K non-zeros: see `sparse-rows.ts`. */
function createRowPlan(
  kernels: Kernels,
  shape: RoutingShape,
  options: ScotOptions,
  expert: Int32Array,
  slotMass: Float64Array,
): SlotPlan {
  const { experts, topK } = shape;
  const transport = createSparseRowsSolver(kernels, shape.tokens, experts, topK, options);
  const cardinality = new Int32Array(experts);
  let solution: SparseRowsSolution | undefined;
  return {
    select({ tokens, hasDisabled }, affinities) {
      solution = transport.solve({ affinity: affinities, tokens, hasDisabled });
      const { iterations, marginalError, converged, dualityGap } = solution;
      expert.fill(-1);
      slotMass.fill(0);
      cardinality.fill(0);
      for (let slot = 0; slot < tokens * topK; slot++) {
        if (solution.mass[slot] === 0) continue;
        expert[slot] = solution.expert[slot];
        slotMass[slot] = solution.mass[slot];
        cardinality[expert[slot]] += 1;
      }
      const maxColumnCardinality = Math.max(...cardinality);
      return { iterations, marginalError, converged, ...gapField(dualityGap), maxColumnCardinality };
    },
    write(tokens, out) {
      out.fill(0, 0, tokens * experts);
      if (solution === undefined) return;
      for (let slot = 0; slot < tokens * topK; slot++) {
        if (solution.mass[slot] > 0) {
          out[Math.floor(slot / topK) * experts + solution.expert[slot]] = solution.mass[slot];
        }
      }
    },
    writeSlopes(token, gateGradient, slope) {
      const first = token * topK;
      let sum = 0;
      let count = 0;
      for (let slot = first; slot < first + topK; slot++) {
        if (slotMass[slot] === 0) continue;
        sum += gateGradient[slot];
        count += 1;
      }
      for (let slot = 0; slot < topK; slot++) slope[slot] = (gateGradient[first + slot] - sum / count) / options.gamma;
    },
  };
}

/**
 * Routing by the sparsity-constrained transport plan of every batch:
 *
 *     P        = argmin ⟨C, P⟩ + (γ/2)·‖P‖², rows 1, columns T/E, C = −S or −Z, with
 *                at most k = maxTokens non-zeros a column    (sparsity: experts; see `sparsity-constrained.ts`)
 *                at most K = topK non-zeros a row            (sparsity: tokens; see `sparse-rows.ts`)
 *     expert_t = the K largest non-zeros of P_t
 *     gate_t   = S_t[expert_t], divided by its sum when `renormalize`           (gates: scores)
 *                P_t[expert_t] divided by its sum                               (gates: plan), both times `gateScale`
 *
 * These are the authors' two routers, TopItemsPerExpert and TopExpertsPerItem. The authors use `solver: adam`,
 * `maxIterations: 20` and γ = 1, and so deliberately stop before the plan has converged: `not_converged_steps` counts these
 * steps, and the loads show it. Only the rows' form then still gives each token K experts by construction.
 *
 * With `sparsity: experts`, entries that are equal within the solver's accuracy, such as the halves of a token that two
 * experts share, are ordered by affinity, then by index. A row may have fewer than K non-zeros: the default
 * γ = 1 fills nearly every row, since entries of a row differ by less than the differences of S, which are below 1; a
 * smaller γ concentrates rows on one expert. With `cost: logits`, choose γ for the range of the logits.
 *
 * With `fallback: topk` slots that the plan leaves empty get the remaining experts with the largest S; with `none` they
 * are −1 with gate 0. The gates of these slots are affinities; with `gates: plan` they are 0 if the row has other entries in
 * the plan, else affinities. Loads count every slot that has an expert, so they are within k only if the plan fills the
 * slots. The plan is written without them: rows that are all zero stay all zero.
 *
 * `backward` through `gates: plan` treats potentials as constants: those of tokens α_t and experts τ_e in the columns'
 * form, whose dual has kinks where the cardinality binds, and no derivative there; in the rows' form those of experts
 * alone, so that the projection of a row is differentiated. With A = S or Z as `cost` says, w = gateGradient times
 * `gateScale`, and for the columns P before rows are divided by their sums,
 *
 *     ∂loss/∂A_t,expert_s = (w_ts − Σ_r gate_tr·w_tr / Σ_r gate_tr) / (γ · Σ_r P_t,expert_r)     columns
 *                           (w_ts − mean of w_t over the slots with mass) / γ                    rows
 *
 * at the slots with mass, and 0 at the others. Gates that are affinities have the gradient of these.
 */
export const scotKind = defineRouterKind({
  kind: "scot",
  summary: "K largest non-zeros of each row of the sparsity-constrained transport plan",
  source: "Liu, Puigcerver & Blondel 2022, arXiv 2209.15466",
  options: scotOptions,
  relativeCost: 500,
  plan: "sparsity-constrained",
  check({ sparsity, maxTokens }, { tokens, experts }) {
    if (sparsity === "tokens" || maxTokens === "capacity" || maxTokens * experts >= tokens) return [];
    const message = `must be at least tokens / experts = ${tokens / experts}, or a column cannot hold its mass; got ${maxTokens}`;
    return [{ path: ["maxTokens"], message }];
  },
  create({ shape, scores, kernels }, options) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    const plain = createAssignmentBuffers(kernels, shape);
    const affinity = kernels.allocateFloat32(options.cost === "scores" ? shape.tokens * experts : 0);
    const slotMass = new Float64Array(shape.tokens * topK);
    const plan =
      options.sparsity === "tokens"
        ? createRowPlan(kernels, shape, options, expert, slotMass)
        : createColumnPlan(kernels, shape, options, expert, slotMass);
    const { renormalize, gateScale } = options;
    const gates = createScoreGates(kernels, experts, scores, {
      renormalize: renormalize || options.gates === "plan",
      gateScale,
    });
    const { ofScores, addRow } = createScoreGradient(experts, scores);
    const slope = new Float64Array(topK);
    // `gates: plan` first writes affinities as gates; only those of rows without mass stay.
    const affinityGradient = new Float32Array(options.gates === "plan" ? shape.tokens * topK : 0);

    /** The affinities that the plan maximises, −∞ for disabled experts. */
    function planAffinities({ logits, tokens, hasDisabled }: TokenBatch): Float32Array {
      if (options.cost === "logits") return logits;
      kernels.scores(logits, scores, tokens, experts, affinity);
      for (let entry = 0; hasDisabled && entry < tokens * experts; entry++) {
        if (logits[entry] === Number.NEGATIVE_INFINITY) affinity[entry] = Number.NEGATIVE_INFINITY;
      }
      return affinity;
    }

    /** Gives the empty slots of the token at `first` the experts of plain top-k that it does not have yet. */
    function fillSlots(first: number): void {
      let slot = first;
      while (slot < first + topK && expert[slot] >= 0) slot += 1;
      for (let choice = first; slot < first + topK && choice < first + topK; choice++) {
        const candidate = plain.expert[choice];
        if (candidate < 0) return;
        let isTaken = false;
        for (let taken = first; taken < slot; taken++) isTaken ||= expert[taken] === candidate;
        if (!isTaken) expert[slot++] = candidate;
      }
    }

    /** Replaces the gates of tokens with mass by the plan's. */
    function writePlanGates(tokens: number): void {
      for (let first = 0; first < tokens * topK; first += topK) {
        if (slotMass[first] === 0) continue;
        let sum = 0;
        for (let slot = first; slot < first + topK; slot++) sum += slotMass[slot];
        for (let slot = first; slot < first + topK; slot++) gate[slot] = (gateScale * slotMass[slot]) / sum;
      }
    }

    function addMassGradient(
      { logits, tokens }: TokenBatch,
      gateGradient: Float32Array,
      logitGradient: Float32Array,
    ): void {
      for (let token = 0; token < tokens; token++) {
        const first = token * topK;
        if (slotMass[first] === 0) continue;
        const row = token * experts;
        plan.writeSlopes(token, gateGradient, slope);
        for (let slot = 0; slot < topK; slot++) {
          if (slotMass[first + slot] === 0) continue;
          const own = gateScale * slope[slot];
          if (options.cost === "scores") ofScores[expert[first + slot]] = own;
          else logitGradient[row + expert[first + slot]] += own;
        }
        if (options.cost === "scores") addRow(logits, row, logitGradient);
      }
    }

    return {
      route(batch) {
        const { logits, tokens } = batch;
        const solver = plan.select(batch, planAffinities(batch));
        if (options.fallback === "topk") {
          kernels.selectTopK(logits, scores, null, tokens, experts, topK, plain.expert, plain.load);
          for (let first = 0; first < tokens * topK; first += topK) fillSlots(first);
        }
        load.fill(0);
        for (let slot = 0; slot < tokens * topK; slot++) if (expert[slot] >= 0) load[expert[slot]] += 1;
        gates.write(batch, assignment);
        if (options.gates === "plan") writePlanGates(tokens);
        return { assignment, solver };
      },
      /** Plain top-k of S: the plan depends on the other tokens. */
      routeAtInference(batch) {
        const { logits, tokens } = batch;
        kernels.selectTopK(logits, scores, null, tokens, experts, topK, plain.expert, plain.load);
        gates.write(batch, plain);
        return plain;
      },
      writePlan: ({ tokens }, out) => plan.write(tokens, out),
      backward(batch, gateGradient, logitGradient) {
        if (options.gates === "scores") {
          gates.addGradient(batch, assignment, gateGradient, logitGradient);
          return;
        }
        addMassGradient(batch, gateGradient, logitGradient);
        // Without weight in the loss, tokens with mass have no gradient here.
        for (let slot = 0; slot < batch.tokens * topK; slot++) {
          affinityGradient[slot] = slotMass[slot - (slot % topK)] > 0 ? 0 : gateGradient[slot];
        }
        gates.addGradient(batch, assignment, affinityGradient, logitGradient);
      },
      state: () => ({}),
      restore: (state) => {
        emptyStateSchema.parse(state);
      },
    };
  },
});

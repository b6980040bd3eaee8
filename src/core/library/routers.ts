/**
 * The routers: which kinds exist, and routing your own logits batch by batch.
 *
 * @module
 */
import { z } from "zod";
import { InputError } from "../input-error.ts";
import type { KernelBackend } from "../kernels/index.ts";
import { findRouterKind, routerKinds } from "../routers/index.ts";
import type { RouterKind, RouterState } from "../routers/router.ts";
import { resolveScenario } from "../scenario/load.ts";
import { createRouter } from "../simulation/router-run.ts";
import { withMemoryFor } from "../simulation/simulation.ts";
import type { PlanKind, SolverReport } from "../solver-report.ts";
import { checked, copyLogits, kernelsOf, rowsOf } from "./checked.ts";
import { describeKind, type KindDescription } from "./kinds.ts";
import type { RouterInput } from "./scenario-input.ts";

/** A kind of router. */
export interface RouterDescription extends KindDescription<RouterInput["kind"]> {
  /** Transport plan that its routers follow and `plan()` returns; null for routers without one. */
  readonly plan: PlanKind | null;
  /** Whether its routers have a `bias()`, and therefore dual regret. */
  readonly hasBias: boolean;
}

/** Sizes that {@link create} builds a router for. */
export interface RouterSizes {
  /** Maximum tokens in a batch. */
  readonly tokens: number;
  readonly experts: number;
  /** Experts per token, at most `experts`; default 2. */
  readonly topK?: number | undefined;
  /** > 0, default 1; for routers with a capacity. */
  readonly capacityFactor?: number | undefined;
  /** Seed of all random numbers, default 0. A scenario with this seed gives the router the same numbers. */
  readonly seed?: number | undefined;
  /** `wasm` (default), `reference`, `tfjs` or `tfjs-gpu`, as for `simulate`. */
  readonly backend?: KernelBackend | undefined;
}

/** What a router chose for one batch. Its arrays are copies: later batches do not change them. */
export interface RoutedBatch {
  /** Batch number, counted from 0. */
  readonly step: number;
  readonly tokens: number;
  /** Slots per token: topK, except for `expert-choice`, where it is the maximum number of experts of any token. */
  readonly slots: number;
  /** `[tokens × slots]`, −1 = none. A token's experts are distinct. */
  readonly expert: Int32Array;
  /** `[tokens × slots]`, the weight of each slot's expert in the token's output; 0 if there is none. */
  readonly gate: Float32Array;
  /** `[experts]`, (token, expert) pairs on each expert. */
  readonly load: Int32Array;
  /** The transport solver's report on its plan; null if none ran. */
  readonly solver: SolverReport | null;
}

/** State of a router between two batches, serialisable as JSON. */
export interface RouterSnapshot {
  /** Step of the next batch. */
  readonly step: number;
  /** What the router remembers. */
  readonly state: RouterState;
}

/** A router that takes batches one by one and learns from them in order. */
export interface BatchRouter {
  /**
   * Routes the next batch: `logits` `[tokens × experts]`, flat and row-major, rounded to float32, with at most as many
   * tokens as the router was created for. −∞, and anything below −1e30, disables the expert for the token. Throws
   * `InputError`, and routes nothing, if they are NaN or +∞ or do not fit.
   */
  route(logits: ArrayLike<number>): RoutedBatch;
  /**
   * Returns the plan `[tokens × experts]` of the last batch, with rows that sum to 1, or are all zero where `scot` finds no
   * mass; on steps on which no solver ran, the affinities. Throws `InputError` for routers without a plan, and before the first batch.
   */
  plan(): Float32Array;
  /** `[experts]`, added to the affinities when ranking the next batch; null for routers without a bias. */
  bias(): Float64Array | null;
  /** Returns the state to resume from later. */
  snapshot(): RouterSnapshot;
  /**
   * Resumes from a snapshot of a router of the same kind, options and sizes; the last batch's plan is lost. Throws
   * `InputError` if it is not such a snapshot.
   */
  restore(snapshot: RouterSnapshot): void;
}

const snapshotSchema = z.strictObject({ step: z.int().nonnegative(), state: z.record(z.string(), z.unknown()) });

/** Every kind, in the order of `moesim list routers`. */
export function list(): RouterDescription[] {
  return routerKinds.map(describe);
}

/** Returns the kind of that name; undefined if there is none. */
export function find(kind: string): RouterDescription | undefined {
  const found = findRouterKind(kind);
  return found && describe(found);
}

/**
 * Creates a router for your own logits, in its initial state: `routers.create({ kind: "ssr", epsilon: 0.5 }, { tokens,
 * experts })`. Throws `InputError` for an unknown kind or option, and if the sizes are inconsistent or need too much
 * memory.
 */
export async function create(router: RouterInput, { backend, ...sizes }: RouterSizes): Promise<BatchRouter> {
  const where = "routers.create";
  const { kind } = router;
  const scenario = await resolveScenario(
    { ...sizes, name: where, steps: 1, regret: { every: 0 }, stream: { kind: "gaussian" }, routers: [router] },
    where,
  );
  const { experts } = scenario;
  const kernels = await kernelsOf(backend);
  const { made, logits } = await withMemoryFor(scenario, async () => ({
    made: createRouter(scenario, scenario.routers[0], kernels),
    logits: kernels.allocateFloat32(scenario.tokens * experts),
  }));
  let plan: Float32Array | undefined;
  let step = 0;
  /** Tokens of the last batch; 0 before the first. */
  let tokens = 0;
  let hasDisabled = false;

  return {
    route(given) {
      const rows = rowsOf("logits", given, experts);
      if (rows > scenario.tokens) {
        throw new InputError(`logits: ${rows} tokens; the router was created for at most ${scenario.tokens}`);
      }
      tokens = 0;
      hasDisabled = copyLogits("logits", given, experts, logits);
      const { assignment, solver } = made.route({ step, tokens: rows, experts, logits, hasDisabled });
      tokens = rows;
      const { slots, expert, gate, load } = assignment;
      return {
        step: step++,
        tokens,
        slots,
        expert: expert.slice(0, tokens * slots),
        gate: gate.slice(0, tokens * slots),
        load: load.slice(),
        solver: solver ?? null,
      };
    },
    plan() {
      if (made.writePlan === undefined) {
        const withPlan = routerKinds.filter(({ plan }) => plan !== undefined).map((other) => other.kind);
        throw new InputError(`router "${kind}" has no transport plan. Routers with one: ${withPlan.join(", ")}`);
      }
      if (tokens === 0) throw new InputError(`router "${kind}": there is no plan yet; route a batch first`);
      plan ??= kernels.allocateFloat32(scenario.tokens * experts);
      made.writePlan({ step: step - 1, tokens, experts, logits, hasDisabled }, plan);
      return plan.slice(0, tokens * experts);
    },
    bias: () => made.bias?.slice() ?? null,
    snapshot: () => ({ step, state: made.state() }),
    restore(snapshot) {
      const saved = checked("snapshot", snapshotSchema, snapshot);
      try {
        made.restore(saved.state);
      } catch (cause) {
        throw new InputError(`snapshot: this is not the state of a router "${kind}" with ${experts} experts`, {
          cause,
        });
      }
      step = saved.step;
      tokens = 0;
    },
  };
}

function describe(kind: RouterKind): RouterDescription {
  const { kind: name, ...description } = describeKind(kind);
  // The registry holds only these kinds.
  return { kind: name as RouterInput["kind"], ...description, plan: kind.plan ?? null, hasBias: kind.hasBias === true };
}

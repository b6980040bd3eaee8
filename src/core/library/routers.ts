/**
 * The routers: what kinds there are, and routing one's own logits, batch by batch.
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
  /** The transport plan that its routers follow, and `plan()` returns; null for routers without one. */
  readonly plan: PlanKind | null;
  /** Whether its routers have a `bias()`, and so dual regret. */
  readonly hasBias: boolean;
}

/** The sizes that {@link create} builds a router for. */
export interface RouterSizes {
  /** The most tokens a batch will hold. */
  readonly tokens: number;
  readonly experts: number;
  /** Experts per token, at most `experts`; default 2. */
  readonly topK?: number | undefined;
  /** ≥ 1, default 1; for routers that keep a capacity. */
  readonly capacityFactor?: number | undefined;
  /** Everything random follows from it; default 0. A scenario of this seed gives the router the same numbers. */
  readonly seed?: number | undefined;
  /** `wasm` (default), `reference`, `tfjs` or `tfjs-gpu`, as for `simulate`. */
  readonly backend?: KernelBackend | undefined;
}

/** What a router chose for one batch. Its arrays are copies: later batches leave them alone. */
export interface RoutedBatch {
  /** Counts the batches from 0. */
  readonly step: number;
  readonly tokens: number;
  /** Slots per token: topK, except for `expert-choice`, where it is the most experts any token was given. */
  readonly slots: number;
  /** `[tokens × slots]`, −1 = none. A token's experts are distinct. */
  readonly expert: Int32Array;
  /** `[tokens × slots]`, the weight of each slot's expert in the token's output; 0 where there is none. */
  readonly gate: Float32Array;
  /** `[experts]`, (token, expert) pairs on each expert. */
  readonly load: Int32Array;
  /** What the transport solver says of its plan; null where none ran. */
  readonly solver: SolverReport | null;
}

/** A snapshot of a router between two batches, serialisable as JSON. */
export interface RouterSnapshot {
  /** Of the next batch. */
  readonly step: number;
  /** What the router remembers. */
  readonly state: RouterState;
}

/** A router to which batches are handed one by one. It learns from them in their order. */
export interface BatchRouter {
  /**
   * Routes the next batch: `logits` `[tokens × experts]`, flat and row-major, at most as many tokens as it was created for,
   * rounded to float32. −∞, and anything below −1e30, disables the expert for the token. Throws `InputError`, and routes
   * nothing, where they are NaN or +∞ or do not fit.
   */
  route(logits: ArrayLike<number>): RoutedBatch;
  /**
   * The plan `[tokens × experts]` of the batch routed last, rows that sum to 1; on steps on which no solver ran, the
   * affinities. Throws `InputError` for routers without a plan, and before the first batch.
   */
  plan(): Float32Array;
  /** `[experts]`, added to the affinities when the next batch is ranked; null for routers without a bias. */
  bias(): Float64Array | null;
  /** To go on later from here. */
  snapshot(): RouterSnapshot;
  /**
   * Goes on from a snapshot of a router of the same kind, options and sizes; the plan of the last batch is gone. Throws
   * `InputError` for what is no such snapshot.
   */
  restore(snapshot: RouterSnapshot): void;
}

const snapshotSchema = z.strictObject({ step: z.int().nonnegative(), state: z.record(z.string(), z.unknown()) });

/** Every kind, in the order of `moesim list routers`. */
export function list(): RouterDescription[] {
  return routerKinds.map(describe);
}

/** The kind of that name; undefined when there is none. */
export function find(kind: string): RouterDescription | undefined {
  const found = findRouterKind(kind);
  return found && describe(found);
}

/**
 * A router for one's own logits, in its first state: `routers.create({ kind: "ssr", epsilon: 0.5 }, { tokens, experts })`.
 * Throws `InputError` for an unknown kind or option, and for sizes that do not go together or need too much memory.
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
  /** Of the batch routed last; 0 where there is none. */
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
      if (tokens === 0) throw new InputError(`router "${kind}": there is no plan before a batch has been routed`);
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
        throw new InputError(`snapshot: its state is none of a router "${kind}" of ${experts} experts`, { cause });
      }
      step = saved.step;
      tokens = 0;
    },
  };
}

function describe(kind: RouterKind): RouterDescription {
  const { kind: name, ...description } = describeKind(kind);
  // The registry holds these kinds and no others.
  return { kind: name as RouterInput["kind"], ...description, plan: kind.plan ?? null, hasBias: kind.hasBias === true };
}

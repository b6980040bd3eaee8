import type { z } from "zod";
import type { Assignment, RoutingShape, ScoreKind } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { RandomSource } from "../random.ts";
import type { PlanKind, SolverReport } from "../solver-report.ts";
import type { TokenBatch } from "../token-batch.ts";

export interface RoutedStep {
  readonly assignment: Assignment;
  /** Present on the steps on which a transport solver ran. */
  readonly solver?: SolverReport;
  /** Of routers that solve the assignment problem which regret is measured against, so that nobody solves it again. */
  readonly optimum?: OptimumCertificate;
}

/** How much any assignment within the capacity can score, and what the best one that was found does: Σ of affinities. */
export interface OptimumCertificate {
  readonly value: number;
  /** Proven. */
  readonly upperBound: number;
}

/** Everything a router must remember between batches, serialisable as JSON. */
export type RouterState = { readonly [field: string]: unknown };

/** A router of one run. It is stateful: batches must come in the order of their steps. */
export interface Router {
  route(batch: TokenBatch): RoutedStep;
  /**
   * Routes `batch` as the trained model would at inference, where the experts of a token depend on no other token. It is
   * called on a router that was restored from the state of the one in training, and may change that copy. Absent if
   * inference is `route` itself: with the biases, prices or thresholds that training has come to, which a copy does not
   * move any further.
   */
  routeAtInference?(batch: TokenBatch): Assignment;
  /**
   * b `[experts]`, added to the affinities when the next batch is ranked; in their unit. Only routers that have such a
   * bias.
   */
  readonly bias?: Float64Array;
  /**
   * Writes the plan `[tokens × experts]` of `batch`, the one routed last, whose rows sum to 1 or are all zero. Only routers
   * that have a plan.
   */
  writePlan?(batch: TokenBatch, plan: Float32Array): void;
  /**
   * Adds to `logitGradient` `[tokens × experts]` what `gateGradient` `[tokens × slots]`, ∂loss/∂gate of `batch`, the
   * one routed last, comes to at its logits, and the gradient of the router's own loss if it has one. Which experts
   * were selected is held fixed, and so is everything that the router remembers or drew. Slots without an expert have
   * no gradient, whatever `gateGradient` holds there. Neither array need be the kernels', and either may be longer.
   * Called while the batch and its assignment are unchanged; changes nothing of the router.
   */
  backward(batch: TokenBatch, gateGradient: Float32Array, logitGradient: Float32Array): void;
  state(): RouterState;
  restore(state: RouterState): void;
}

/** What a router is given when it is created. */
export interface RouterContext {
  readonly shape: RoutingShape;
  /** The affinities this router uses: its own `scores` option, else the scenario's, else its kind's default. */
  readonly scores: ScoreKind;
  readonly kernels: Kernels;
  /** Whether a gate learns from `backward`; then a router's own loss acts through it alone. */
  readonly trained: boolean;
  /** This kind's own random numbers. */
  readonly random: RandomSource;
}

/** A problem with an option's value that only shows against the shape. `path` is inside the router's options. */
export interface OptionProblem {
  readonly path: readonly string[];
  readonly message: string;
}

/** One routing algorithm, as the registry, the schema, `list` and the docs know it. */
export interface RouterKind<Options = unknown> {
  readonly kind: string;
  /** One line for `list routers`. */
  readonly summary: string;
  /** Paper and equation. */
  readonly source: string;
  /** A strict zod object; each field has a default and a `.describe()`. */
  readonly options: z.ZodObject;
  /** The affinities used when neither the router's options nor the scenario name any; `softmax` when absent. */
  readonly defaultScores?: ScoreKind;
  /** The transport plan its routers follow, and can write with `writePlan`; absent for routers without one. */
  readonly plan?: PlanKind;
  /** Whether its routers have a `bias`, and so dual regret. */
  readonly hasBias?: boolean;
  /**
   * Options that hold one number per expert, or name a file of them. Whoever resolves the scenario replaces the file by its
   * numbers, so that `check` and `create` do not see it.
   */
  readonly vectors?: readonly string[];
  /** Returns what a user should know about affinities and options that are allowed but not as published; null if nothing. */
  advice?(options: Options, scores: ScoreKind): string | null;
  /**
   * How far its `optimum`, per pair, can be from the truth; absent for kinds that find none. The optimum is of the
   * router's own affinities and the scenario's capacity.
   */
  optimumGap?(options: Options): number;
  /** About how many times as long as plain top-k one batch takes, to share out work evenly; 3 when absent. */
  readonly relativeCost?: number;
  /** The most slots its assignments can have; `topK` when absent. */
  maxSlots?(shape: RoutingShape): number;
  /** Problems that only show against the shape. */
  check?(options: Options, shape: RoutingShape): OptionProblem[];
  create(context: RouterContext, options: Options): Router;
}

/** A kind whose type knows its name and its schema, from which the types of the library's inputs are made. */
export interface TypedRouterKind<Kind extends string, Schema extends z.ZodObject> extends RouterKind<z.output<Schema>> {
  readonly kind: Kind;
  readonly options: Schema;
}

/** `kind` as it is, typed by its name and its schema. */
export function defineRouterKind<const Kind extends string, Schema extends z.ZodObject>(
  kind: TypedRouterKind<Kind, Schema>,
): TypedRouterKind<Kind, Schema> {
  return kind;
}

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
  /** The optimum that regret is measured against, from routers that solve for it, so that it is not computed twice. */
  readonly optimum?: OptimumCertificate;
}

/** The score of the best assignment found within the capacity, and an upper bound for all of them: Σ of affinities. */
export interface OptimumCertificate {
  readonly value: number;
  /** Proven. */
  readonly upperBound: number;
}

/** Everything that a router must remember between batches, serialisable as JSON. */
export type RouterState = { readonly [field: string]: unknown };

/** A router of one run. It is stateful: batches must come in the order of their steps. */
export interface Router {
  route(batch: TokenBatch): RoutedStep;
  /**
   * Routes `batch` as the trained model would at inference, where a token's experts do not depend on other tokens. It is
   * called on a copy that was restored from the state of the router in training, and may change that copy. Absent if
   * inference calls `route` itself, with the biases, prices or thresholds that training ended with.
   */
  routeAtInference?(batch: TokenBatch): Assignment;
  /**
   * b `[experts]`, added to the affinities when the next batch is ranked, in their unit. Only routers that have such a
   * bias.
   */
  readonly bias?: Float64Array;
  /**
   * Writes the plan `[tokens × experts]` of `batch`, the last one routed; each row sums to 1 or is all zero. Only routers
   * that have a plan.
   */
  writePlan?(batch: TokenBatch, plan: Float32Array): void;
  /**
   * Propagates `gateGradient` `[tokens × slots]`, ∂loss/∂gate of `batch`, the last one routed, to the logits: adds ∂loss/∂Z
   * to `logitGradient` `[tokens × experts]`, including the gradient of the router's own loss, if it has one. The selected
   * experts, the router's state and its random draws are held fixed. Slots without an expert have no gradient, whatever
   * `gateGradient` holds there. The arrays need not be in the kernels' memory, and may be longer. Call it while the batch
   * and its assignment are unchanged; it does not change the router.
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

/** A problem with an option's value that depends on the shape. `path` is inside the router's options. */
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
  /** The affinities used if neither the router's options nor the scenario name any; default `softmax`. */
  readonly defaultScores?: ScoreKind;
  /** The transport plan its routers follow, and can write with `writePlan`; absent for routers without one. */
  readonly plan?: PlanKind;
  /** Whether its routers have a `bias`, and hence dual regret. */
  readonly hasBias?: boolean;
  /**
   * Options that hold one number per expert, or name a file of them. Loading a scenario replaces the file with its numbers,
   * so `check` and `create` never see a file.
   */
  readonly vectors?: readonly string[];
  /** Returns a warning if affinities and options are allowed but differ from the published ones; else null. */
  advice?(options: Options, scores: ScoreKind): string | null;
  /**
   * Largest possible error of its `optimum`, per pair; absent for kinds that find no optimum. The optimum is for the
   * router's own affinities and the scenario's capacity.
   */
  optimumGap?(options: Options): number;
  /** Approximate cost of a batch, relative to plain top-k, to share out work evenly; default 3. */
  readonly relativeCost?: number;
  /** The most slots that its assignments can have; default `topK`. */
  maxSlots?(shape: RoutingShape): number;
  /** Returns problems that depend on the shape. */
  check?(options: Options, shape: RoutingShape): OptionProblem[];
  create(context: RouterContext, options: Options): Router;
}

/** A kind with its name and schema in its type; the types of the library's inputs are derived from it. */
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

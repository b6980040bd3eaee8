import type { Assignment, RoutingShape } from "../assignment.ts";
import { InputError } from "../input-error.ts";
import type { Metric, StepFile } from "../metrics/catalogue.ts";
import type { RunFacts } from "../metrics/run-summary.ts";
import type { StepFacts } from "../metrics/step-record.ts";
import type { OptionProblem, Router, RouterContext, RouterKind } from "../routers/router.ts";
import type { PlanKind, SolverReport } from "../solver-report.ts";
import type { Stream, StreamKind, StreamState } from "../streams/stream.ts";
import { markDisabled, type TokenBatch } from "../token-batch.ts";

/** What a plugin's router chose for a batch. Its arrays may be longer than the batch needs. */
export interface PluginAssignment extends Omit<Assignment, "load"> {
  /** `[experts]`; moesim counts the pairs itself, and compares if it is there. */
  readonly load?: Assignment["load"];
}

/** A router of a plugin. It need not have `backward` if no gate is trained with it. */
export interface PluginRouter
  extends Omit<Router, "route" | "routeAtInference" | "backward">,
    Partial<Pick<Router, "backward">> {
  /** Reads the batch, and never writes to its logits: other routers see the same. */
  route(batch: TokenBatch): { readonly assignment: PluginAssignment; readonly solver?: SolverReport };
  /** Routes held-back data as the trained model would; absent if that is `route`. */
  routeAtInference?(batch: TokenBatch): PluginAssignment;
}

/** A kind of router as a plugin exports it. */
export interface PluginRouterKind<Options = unknown>
  extends Pick<
    RouterKind,
    "kind" | "summary" | "source" | "options" | "defaultScores" | "plan" | "hasBias" | "relativeCost" | "maxSlots"
  > {
  /** Problems that only show against the shape. */
  check?(options: Options, shape: RoutingShape): OptionProblem[];
  create(context: RouterContext, options: Options): PluginRouter;
}

/** A metric of a plugin: measured on each step, computed of a whole run, or both. */
export interface PluginMetric
  extends Pick<Metric, "id" | "label" | "unit" | "better" | "range" | "bounds" | "definition" | "source" | "run"> {
  readonly step?: { readonly file: StepFile; readonly measure: (facts: StepFacts) => number | null };
}

/** Returns what `call` returns. Throws `InputError` that begins with `where` if it throws: the plugin is the user's input. */
function attempt<Value>(where: string, call: () => Value): Value {
  try {
    return call();
  } catch (error) {
    throw failureOf(where, error);
  }
}

/** As {@link attempt}, of functions that return promises. */
async function attemptAsync<Value>(where: string, call: () => Promise<Value>): Promise<Value> {
  try {
    return await call();
  } catch (error) {
    throw failureOf(where, error);
  }
}

function failureOf(where: string, error: unknown): InputError {
  if (error instanceof InputError) return error.within(`${where}: `);
  return new InputError(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}

/** Throws `InputError` unless `made` is an object with all of `methods`. */
function checkMethods(where: string, made: unknown, methods: readonly string[]): void {
  const missing = methods.filter((name) => typeof (Object(made) as Record<string, unknown>)[name] !== "function");
  if (missing.length === 0) return;
  throw new InputError(`${where}: create returned an object without ${missing.map((name) => `${name}()`).join(", ")}`);
}

/** Returns the kind with whatever its plugin, named `plugin`, returns or throws checked, so that messages name both. */
export function guardRouterKind(kind: PluginRouterKind, plugin: string): RouterKind {
  const where = `${plugin}: router "${kind.kind}"`;
  const { summary, source, defaultScores, plan, hasBias, relativeCost } = kind;
  const maxSlotsOf = (shape: RoutingShape): number => {
    const slots = attempt(`${where}: maxSlots`, () => kind.maxSlots?.(shape)) ?? shape.topK;
    if (Number.isInteger(slots) && slots >= 1 && slots <= shape.experts) return slots;
    throw new InputError(`${where}: maxSlots returned ${slots}; expected 1 to ${shape.experts}`);
  };
  return {
    kind: kind.kind,
    summary,
    source,
    options: kind.options.strict(),
    ...(defaultScores !== undefined && { defaultScores }),
    ...(plan !== undefined && { plan }),
    ...(hasBias !== undefined && { hasBias }),
    ...(relativeCost !== undefined && { relativeCost }),
    ...(kind.maxSlots !== undefined && { maxSlots: maxSlotsOf }),
    ...(kind.check !== undefined && {
      check: (options: unknown, shape: RoutingShape) => attempt(`${where}: check`, () => kind.check!(options, shape)),
    }),
    create(context, options) {
      const router = attempt(`${where}: create`, () => kind.create(context, options));
      const methods = ["route", "state", "restore", ...(plan === undefined ? [] : ["writePlan"])];
      checkMethods(where, router, context.trained ? [...methods, "backward"] : methods);
      return guardRouter(router, { where, context, maxSlots: maxSlotsOf(context.shape), plan, hasBias });
    },
  };
}

interface GuardedRouter {
  readonly where: string;
  readonly context: RouterContext;
  readonly maxSlots: number;
  readonly plan: PlanKind | undefined;
  readonly hasBias: boolean | undefined;
}

/** Copies what the router returns into the kernels' arrays, so that its own may be any. */
function guardRouter(router: PluginRouter, { where, context, maxSlots, plan, hasBias }: GuardedRouter): Router {
  const { shape, kernels } = context;
  const { experts } = shape;
  const expert = kernels.allocateInt32(shape.tokens * maxSlots);
  const gate = kernels.allocateFloat32(shape.tokens * maxSlots);
  const load = kernels.allocateInt32(experts);
  const bias = hasBias === true ? kernels.allocateFloat64(experts) : null;
  const lastToken = new Int32Array(experts);
  if (bias !== null) copyBias(where, router.bias, bias);

  return {
    ...(bias !== null && { bias }),
    route(batch) {
      const at = `${where}: step ${batch.step}`;
      const { assignment: chosen, solver } = attempt(at, () => router.route(batch)) ?? {};
      const slots = copyAssignment(at, batch, chosen, { slots: maxSlots, expert, gate, load }, lastToken);
      if (bias !== null) copyBias(at, router.bias, bias);
      if (plan !== undefined && solver !== undefined) checkReport(at, solver);
      return {
        assignment: { slots, expert, gate, load },
        ...(plan !== undefined && solver !== undefined && { solver }),
      };
    },
    ...(router.routeAtInference !== undefined && {
      routeAtInference(batch: TokenBatch) {
        const at = `${where}: routeAtInference`;
        const chosen = attempt(at, () => router.routeAtInference!(batch));
        const slots = copyAssignment(at, batch, chosen, { slots: maxSlots, expert, gate, load }, lastToken);
        return { slots, expert, gate, load };
      },
    }),
    ...(plan !== undefined && {
      writePlan(batch: TokenBatch, into: Float32Array) {
        attempt(`${where}: writePlan`, () => router.writePlan!(batch, into));
        const wrong = into.subarray(0, batch.tokens * experts).findIndex((value) => !(value >= 0 && value < Infinity));
        if (wrong < 0) return;
        const place = `token ${Math.floor(wrong / experts)}, expert ${wrong % experts}`;
        throw new InputError(`${where}: writePlan: ${place}: ${into[wrong]} is not allowed; expected a number from 0`);
      },
    }),
    backward(batch, gateGradient, logitGradient) {
      attempt(`${where}: backward`, () => router.backward!(batch, gateGradient, logitGradient));
    },
    state: () => attempt(`${where}: state`, () => router.state()),
    restore(state) {
      attempt(`${where}: restore`, () => router.restore(state));
      if (bias !== null) copyBias(where, router.bias, bias);
    },
  };
}

/**
 * Copies `chosen` into `into`, whose `slots` are the most that it may have, and counts the load. Returns its slots. Throws
 * `InputError` that begins with `where` and names token and slot if it is not an assignment of `batch`.
 */
function copyAssignment(
  where: string,
  batch: TokenBatch,
  chosen: PluginAssignment | undefined,
  into: Assignment,
  lastToken: Int32Array,
): number {
  const { tokens, experts, logits, hasDisabled = false } = batch;
  if (chosen === undefined) throw new InputError(`${where}: route returned no assignment`);
  const { slots } = chosen;
  if (!(Number.isInteger(slots) && slots >= 1 && slots <= into.slots)) {
    throw new InputError(`${where}: assignment.slots: ${slots} is not allowed; expected 1 to ${into.slots}`);
  }
  const pairs = tokens * slots;
  for (const name of ["expert", "gate"] as const) {
    const { length } = chosen[name] ?? { length: 0 };
    if (length >= pairs) continue;
    throw new InputError(
      `${where}: assignment.${name} has ${length} entries; expected ${tokens} tokens × ${slots} slots`,
    );
  }
  const fail = (pair: number, problem: string) =>
    new InputError(`${where}: token ${Math.floor(pair / slots)}, slot ${pair % slots}: ${problem}`);
  into.load.fill(0);
  lastToken.fill(-1);
  for (let pair = 0; pair < pairs; pair++) {
    const e = chosen.expert[pair];
    const weight = chosen.gate[pair];
    const token = Math.floor(pair / slots);
    into.expert[pair] = e;
    into.gate[pair] = weight;
    if (e === -1) {
      into.gate[pair] = 0;
      continue;
    }
    if (!(Number.isInteger(e) && e >= 0 && e < experts)) {
      throw fail(pair, `${e} is not an expert; expected 0 to ${experts - 1}, or -1 for none`);
    }
    if (!Number.isFinite(into.gate[pair])) throw fail(pair, `the gate ${weight} is not a finite number`);
    if (lastToken[e] === token) throw fail(pair, `expert ${e} is there twice; a token's experts must be distinct`);
    if (hasDisabled && logits[token * experts + e] === Number.NEGATIVE_INFINITY) {
      throw fail(pair, `expert ${e} is disabled for this token`);
    }
    lastToken[e] = token;
    into.load[e] += 1;
  }
  if (chosen.load !== undefined) {
    const wrong = into.load.findIndex((count, e) => count !== chosen.load![e]);
    if (wrong >= 0) {
      throw new InputError(
        `${where}: assignment.load of expert ${wrong} is ${chosen.load[wrong]}, but ${into.load[wrong]} pairs are on it`,
      );
    }
  }
  return slots;
}

function copyBias(where: string, from: ArrayLike<number> | undefined, into: Float64Array): void {
  if (from?.length !== into.length) {
    throw new InputError(`${where}: bias has ${from?.length ?? "no"} entries; expected ${into.length}, one an expert`);
  }
  for (let e = 0; e < into.length; e++) {
    if (!Number.isFinite(from[e])) throw new InputError(`${where}: bias of expert ${e}: ${from[e]} is not finite`);
    into[e] = from[e];
  }
}

function checkReport(where: string, { iterations, marginalError, converged }: SolverReport): void {
  if (Number.isFinite(iterations) && Number.isFinite(marginalError) && typeof converged === "boolean") return;
  throw new InputError(
    `${where}: solver must have iterations and marginalError, both numbers, and converged, a boolean`,
  );
}

/** Returns the kind with whatever its plugin, named `plugin`, returns or throws checked, so that messages name both. */
export function guardStreamKind(kind: StreamKind, plugin: string): StreamKind {
  const where = `${plugin}: stream "${kind.kind}"`;
  const { summary, source, feedback } = kind;
  return {
    kind: kind.kind,
    summary,
    source,
    options: kind.options.strict(),
    ...(feedback !== undefined && { feedback }),
    ...(kind.evaluatedTokens !== undefined && {
      evaluatedTokens: (options) => attempt(`${where}: evaluatedTokens`, () => kind.evaluatedTokens!(options)),
    }),
    ...(kind.check !== undefined && {
      check: (options, shape) => attempt(`${where}: check`, () => kind.check!(options, shape)),
    }),
    ...(kind.shape !== undefined && {
      shape: (options, wanted, folder) =>
        attemptAsync(`${where}: shape`, async () => kind.shape!(options, wanted, folder)),
    }),
    ...(kind.checkInput !== undefined && {
      checkInput: (options, folder) => attemptAsync(where, async () => kind.checkInput!(options, folder)),
    }),
    async create(context, options) {
      const stream = await attemptAsync(`${where}: create`, async () => kind.create(context, options));
      const ofFeedback = feedback === undefined ? [] : ["state", "restore", feedback === "load" ? "observe" : "learn"];
      checkMethods(where, stream, ["next", "close", ...ofFeedback]);
      const { tokens, experts, steps } = context.shape;
      return guardStream(stream, where, context.kernels.allocateFloat32(tokens * experts), { tokens, experts, steps });
    },
  };
}

/** Copies each batch into `logits`, the kernels' array, so that the stream's own may be any. */
function guardStream(
  stream: Stream,
  where: string,
  logits: Float32Array,
  shape: { readonly tokens: number; readonly experts: number; readonly steps: number },
): Stream {
  let step = 0;
  return {
    async next() {
      const at = `${where}: step ${step}`;
      const batch = await attemptAsync(at, async () => stream.next());
      if (batch === null || batch === undefined) {
        throw new InputError(`${at}: there is no batch; the scenario has ${shape.steps} steps`);
      }
      const { tokens, experts } = batch;
      if (!(Number.isInteger(tokens) && tokens >= 1 && tokens <= shape.tokens) || experts !== shape.experts) {
        const expected = `1 to ${shape.tokens} tokens × ${shape.experts} experts`;
        throw new InputError(`${at}: a batch of ${tokens} tokens × ${experts} experts; expected ${expected}`);
      }
      if (!(batch.logits?.length >= tokens * experts)) {
        throw new InputError(`${at}: ${batch.logits?.length ?? "no"} logits for ${tokens} tokens × ${experts} experts`);
      }
      logits.set(batch.logits.subarray(0, tokens * experts));
      const hasDisabled = markDisabled(logits, tokens * experts);
      for (let entry = 0; entry < tokens * experts; entry++) {
        if (logits[entry] < Number.POSITIVE_INFINITY) continue;
        const place = `token ${Math.floor(entry / experts)}, expert ${entry % experts}`;
        throw new InputError(
          `${at}: ${place}: the logit ${logits[entry]} is not allowed; expected a number or -Infinity`,
        );
      }
      return { ...batch, step: step++, logits, hasDisabled };
    },
    ...(stream.skip !== undefined && {
      skip() {
        attempt(`${where}: skip`, () => stream.skip!());
        step += 1;
      },
    }),
    ...(stream.observe !== undefined && {
      observe: (load: Int32Array) => attempt(`${where}: observe`, () => stream.observe!(load)),
    }),
    ...(stream.learn !== undefined && {
      learn: (...given: Parameters<NonNullable<Stream["learn"]>>) =>
        attempt(`${where}: learn`, () => stream.learn!(...given)),
    }),
    ...(stream.evaluate !== undefined && {
      evaluate: (...given: Parameters<NonNullable<Stream["evaluate"]>>) =>
        attempt(`${where}: evaluate`, () => stream.evaluate!(...given)),
    }),
    ...(stream.state !== undefined && {
      state: (): StreamState => {
        const { fields, arrays } = attempt(`${where}: state`, () => stream.state!());
        return { fields: { step, fields }, arrays };
      },
    }),
    ...(stream.restore !== undefined && {
      restore({ fields, arrays }: StreamState) {
        step = fields.step as number;
        attempt(`${where}: restore`, () => stream.restore!({ fields: fields.fields as StreamState["fields"], arrays }));
      },
    }),
    close: () => attemptAsync(`${where}: close`, async () => stream.close()),
  };
}

/** Returns the metric with whatever its plugin, named `plugin`, returns or throws checked, so that messages name both. */
export function guardMetric({ step, run, ...facts }: PluginMetric, plugin: string): Metric {
  const where = `${plugin}: metric "${facts.id}"`;
  return {
    ...facts,
    ...(step !== undefined && {
      step: { file: step.file, measure: (of: StepFacts) => checkedValue(where, () => step.measure(of)) },
    }),
    ...(run !== undefined && {
      run: run.map((column) => ({
        ...column,
        ...(column.value !== undefined && { value: (of: RunFacts) => checkedValue(where, () => column.value!(of)) }),
      })),
    }),
  };
}

/** Returns the number or null that `measure` returns. Throws `InputError` for anything else. */
function checkedValue(where: string, measure: () => number | null): number | null {
  const value = attempt(where, measure);
  if (value === null || Number.isFinite(value)) return value;
  throw new InputError(
    `${where}: the value ${String(value)} is not allowed; expected a finite number, or null for none`,
  );
}

import { z } from "zod";
import { InputError } from "../input-error.ts";
import { addMetric, metricColumns, metrics } from "../metrics/catalogue.ts";
import { addRouterKind, findRouterKind } from "../routers/index.ts";
import { addStreamKind, findStreamKind } from "../streams/index.ts";
import type { StreamKind } from "../streams/stream.ts";
import {
  guardMetric,
  guardRouterKind,
  guardStreamKind,
  type PluginMetric,
  type PluginRouterKind,
} from "./plugin-guards.ts";
import { describeIssues, problemsError } from "./problems.ts";
import { sharedFields } from "./schema.ts";

/** What a plugin's module exports by default. */
export interface Plugin {
  readonly routers?: readonly PluginRouterKind[];
  readonly streams?: readonly StreamKind[];
  readonly metrics?: readonly PluginMetric[];
}

/** The names that a plugin added. */
export interface PluginContents {
  readonly routers: readonly string[];
  readonly streams: readonly string[];
  /** Ids. */
  readonly metrics: readonly string[];
  /** The metrics' columns of summary.csv. */
  readonly columns: readonly string[];
}

const kindName = z.string().regex(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/, "must be lower-case words joined by hyphens");
const columnName = z.string().regex(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/, "must be lower-case words joined by underscores");
const text = z.string().min(1);

/** A function, whose arguments and result nothing can check before it is called. */
const callable = z.custom<(...given: never[]) => unknown>((value) => typeof value === "function", "must be a function");

const optionsSchema = z
  .custom<z.ZodObject>((value) => value instanceof z.ZodObject, "must be a z.object of zod 4, as moesim/plugin exports")
  .refine(
    (options) => !Object.keys(options.shape).some((name) => sharedFields.includes(name)),
    `must not have the fields that all kinds share: ${sharedFields.join(", ")}`,
  )
  .refine((options) => isDescribable(options), "must have options that JSON Schema can describe");

function isDescribable(options: z.ZodObject): boolean {
  try {
    z.toJSONSchema(options, { io: "input" });
    return true;
  } catch {
    return false;
  }
}

const kindFields = { kind: kindName, summary: text, source: text, check: callable.optional(), create: callable };

const routerSchema = z.looseObject({
  ...kindFields,
  options: optionsSchema.refine(
    (options) => options.safeParse({}).success,
    "must give each option a default, or make it optional",
  ),
  defaultScores: z.enum(["softmax", "sigmoid", "sqrt-softplus", "logits"]).optional(),
  plan: z.enum(["entropic", "sparsity-constrained"]).optional(),
  hasBias: z.boolean().optional(),
  relativeCost: z.number().positive().optional(),
  maxSlots: callable.optional(),
});

const streamSchema = z.looseObject({
  ...kindFields,
  options: optionsSchema,
  feedback: z.enum(["load", "training"]).optional(),
  evaluatedTokens: callable.optional(),
  shape: callable.optional(),
  checkInput: callable.optional(),
});

const metricSchema = z
  .strictObject({
    id: columnName,
    label: text,
    unit: text,
    better: z.enum(["lower", "higher"]).nullable(),
    range: text,
    bounds: callable,
    definition: text,
    source: text,
    step: z.strictObject({ file: z.enum(["steps", "diagnostics"]), measure: callable }).optional(),
    run: z
      .array(
        z
          .strictObject({
            column: columnName,
            label: text,
            header: text.optional(),
            rank: z.number().optional(),
            taken: z.enum(["mean", "token mean", "window token mean", "largest", "last"]).optional(),
            value: callable.optional(),
          })
          .refine(({ taken, value }) => (taken === undefined) !== (value === undefined), "must have taken or value")
          .refine(({ header, rank }) => (header === undefined) === (rank === undefined), "must have header with rank"),
      )
      .optional(),
  })
  .refine(({ step, run = [] }) => step !== undefined || run.length > 0, "must have step or run")
  .refine(
    ({ step, run = [] }) => step !== undefined || run.every(({ taken }) => taken === undefined),
    "must have step, from which taken takes the value of the run",
  );

const pluginSchema = z.strictObject({
  routers: z.array(routerSchema).optional(),
  streams: z.array(streamSchema).optional(),
  metrics: z.array(metricSchema).optional(),
});

/**
 * Adds what a plugin's module exports by default to this thread's routers, streams and metrics, and returns its names. From then
 * on they are known as moesim's own are; what the plugin returns while it runs is checked. Throws `InputError`, and
 * adds nothing, if it is not a plugin, or if a name is taken.
 *
 * @param name the plugin in messages: its file
 */
export function addPlugin(plugin: unknown, name: string): PluginContents {
  if (typeof plugin !== "object" || plugin === null) {
    throw new InputError(
      `${name}: its default export is ${plugin === undefined ? "missing" : "not an object"}; ` +
        "expected export default { routers, streams, metrics }, each a list and optional",
    );
  }
  const parsed = pluginSchema.safeParse(plugin);
  if (!parsed.success) throw problemsError(name, describeIssues(parsed.error, pluginSchema, plugin));
  // The schema has just found these fields; what the functions do is checked whenever they are called.
  const { routers = [], streams = [], metrics: measured = [] } = plugin as Plugin;
  const columns = measured.flatMap(({ run = [] }) => run.map(({ column }) => column));
  const clashes = [
    ...clashesIn("routers", "router", namesOf(routers), (kind) => findRouterKind(kind) !== undefined),
    ...clashesIn("streams", "stream", namesOf(streams), (kind) => findStreamKind(kind) !== undefined),
    ...metricClashes(measured),
  ];
  if (clashes.length > 0) throw problemsError(name, { lines: clashes, count: clashes.length });

  for (const kind of routers) addRouterKind(guardRouterKind(kind, name));
  for (const kind of streams) addStreamKind(guardStreamKind(kind, name));
  for (const metric of measured) addMetric(guardMetric(metric, name));
  return { routers: namesOf(routers), streams: namesOf(streams), metrics: measured.map(({ id }) => id), columns };
}

function namesOf(kinds: readonly { readonly kind: string }[]): string[] {
  return kinds.map(({ kind }) => kind);
}

/** Names of columns and fields of results that are not metrics. */
const reservedNames = [
  ...["scenario", "router", "kind", "seed", "step", "steps", "tokens", "experts", "top_k", "seeds"],
  ...["expert", "load", "layer", "max_vio_batches", "max_vio_worst_layer", "solver_steps"],
];

/** Lines about names in the `list` of a plugin that are taken, or there twice. */
function clashesIn(list: string, noun: string, names: readonly string[], isTaken: (name: string) => boolean): string[] {
  return names.flatMap((name, index) => {
    const where = `${list}[${index}].kind`;
    if (isTaken(name)) return [`${where}: there is a ${noun} "${name}" already; choose another name`];
    return names.indexOf(name) < index ? [`${where}: the plugin has two of kind "${name}"; choose another name`] : [];
  });
}

function metricClashes(added: readonly PluginMetric[]): string[] {
  const taken = new Set([
    ...reservedNames,
    ...metrics.flatMap(({ id, timing = [] }) => [id, ...timing.map(({ column }) => column)]),
    ...metricColumns.map(({ column }): string => column),
  ]);
  const lines: string[] = [];
  for (const [index, { id, run = [] }] of added.entries()) {
    // A metric may call its column of summary.csv by its own name.
    for (const name of new Set([id, ...run.map(({ column }) => column)])) {
      if (taken.has(name)) lines.push(`metrics[${index}]: there is a column "${name}" already; choose another name`);
      taken.add(name);
    }
    const columns = run.map(({ column }) => column);
    if (new Set(columns).size < columns.length) lines.push(`metrics[${index}].run: two columns have the same name`);
  }
  return lines;
}

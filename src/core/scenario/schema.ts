import { z } from "zod";
import { mostExperts, type ScoreKind, scoreKinds } from "../assignment.ts";
import { capacityPolicies, dropRankings } from "../metrics/drops.ts";
import { placementMethods } from "../placement/index.ts";
import { derivedFrom } from "../registry.ts";
import { type KnownRouterKind, routerKinds } from "../routers/index.ts";
import { auxLossFields } from "../routers/parts/shared-options.ts";
import { type KnownStreamKind, streamKinds } from "../streams/index.ts";
import { mostAssignmentExperts } from "../transport/assignment/exact-assignment.ts";
import { modelNames } from "./models.ts";

/** Default maximum number of steps in loads.csv. */
export const defaultLoadSamples = 200;

export const formulaProblem =
  "must not begin with = + - @, a tab or a carriage return, which spreadsheets take for a formula";

/**
 * Whether a spreadsheet would take `text` for a formula. Names go into CSV files unchanged: an apostrophe in front
 * would make them safe, but a reader would then not get back the scenario's name.
 */
export function beginsAsFormula(text: string): boolean {
  return /^[=+\-@\t\r]/.test(text);
}

const nameInCsv = z
  .string()
  .min(1)
  .refine((text) => !beginsAsFormula(text), formulaProblem);

const scoresField = z
  .enum(scoreKinds)
  .optional()
  .describe(
    "How logits become affinities: softmax of each row, sigmoid or sqrt-softplus, √log(1 + e^z), of each entry, or the " +
      "logits themselves.",
  );

/** What every router takes besides its kind's options. */
const routerFields = {
  label: nameInCsv.optional().describe("Name of the router in tables and files; default: its kind."),
  scores: scoresField,
};

/** The names of the fields that routers and streams have besides their kinds' options. */
export const sharedFields: readonly string[] = ["kind", ...Object.keys(routerFields)];

function streamSchema() {
  const branches = streamKinds.map((kind) =>
    kind.options.extend({ kind: z.literal(kind.kind).describe(kind.summary) }),
  );
  return z.discriminatedUnion("kind", nonEmpty(branches)).describe("Where the router logits come from.");
}

function routerSchema() {
  const branches = routerKinds.map((kind) =>
    kind.options.extend({ kind: z.literal(kind.kind).describe(kind.summary), ...routerFields }),
  );
  return z.discriminatedUnion("kind", nonEmpty(branches));
}

const count = z.number().int().positive();

const placementSchema = z.strictObject({
  gpus: count.describe("GPUs that share the experts of a layer: the ranks of expert parallelism."),
  nodes: count.default(1).describe("Nodes with equally many GPUs."),
  slots: count
    .optional()
    .describe(
      "Experts on all GPUs together, with replicas; default: one per expert, rounded up to a multiple of `gpus`.",
    ),
  groups: count.default(1).describe("Groups of experts; each stays on a node if `nodes` divides them."),
  method: z.enum(placementMethods).default("balanced").describe("How to place, see `moesim place`."),
  gap: z
    .number()
    .nonnegative()
    .default(0)
    .describe("Stop placing when proven to be within this of the best, e.g. 0.01."),
  window: count.default(1000).describe("Last steps whose loads a placement is fitted to."),
  interval: count.default(3000).describe("Steps between two placements; until the first, experts are in order."),
  moveCost: z
    .number()
    .nonnegative()
    .default(0)
    .describe("Time to move one expert, in balanced steps; added to the step time of the step before which it moves."),
});

/**
 * Returns what a scenario file may contain, with every kind of router and stream there is. The JSON Schema, the documentation and
 * the error messages are made from it.
 */
export const scenarioSchema = derivedFrom([routerKinds, streamKinds], () =>
  z.strictObject({
    name: nameInCsv
      .max(200)
      .regex(
        /^(?!\.{1,2}$)(?!\s)[^/\\\p{Cc}]+$/u,
        "must be usable as a folder name: no slashes, control characters or leading space, and not . or ..",
      )
      .describe("Name of the scenario, in every file and in the default output folder."),
    description: z.string().default("").describe("Question that the scenario answers."),
    requires: z
      .array(z.string())
      .optional()
      .describe("Routers, streams and metrics that the scenario needs; --plugin FILE adds those that moesim lacks."),
    model: z
      .enum(modelNames)
      .optional()
      .describe(
        "Published model whose experts, topK, scores and router are used, except those given here; list models has them.",
      ),
    seed: z.number().int().nonnegative().default(0).describe("Seed of all random numbers."),
    steps: z.number().int().positive().optional().describe("Batches to route; default: 100, or all of a recording."),
    tokens: z.number().int().positive().optional().describe("Tokens per batch; default: 1024, or as recorded."),
    experts: z
      .number()
      .int()
      .positive()
      .max(mostExperts)
      .optional()
      .describe("Number of experts; required unless the stream is recorded or there is a model."),
    topK: z.number().int().positive().default(2).describe("Experts per token, at most `experts`."),
    scores: scoresField,
    capacityFactor: z
      .number()
      .positive()
      .default(1)
      .describe("Capacity of an expert: ⌈capacityFactor · tokens · topK / experts⌉ pairs."),
    capacity: z
      .enum(capacityPolicies)
      .default("none")
      .describe(
        "What happens to pairs over capacity: nothing, drop the lowest, drop the last to arrive, or reroute the lowest scores " +
          "to other experts.",
      ),
    dropBy: z
      .enum(dropRankings)
      .default("gates")
      .describe("What `capacity: drop` ranks pairs by: their gates, or their measured affinities."),
    rerouteDepth: z
      .number()
      .int()
      .positive()
      .optional()
      .describe("Maximum number of further experts that `capacity: reroute` tries for a pair; default: all."),
    ranks: z
      .number()
      .int()
      .positive()
      .default(1)
      .describe(
        "Devices of expert parallelism, at most `experts`, each with a contiguous group of experts; if they do not divide the " +
          "experts, the first ones hold one more.",
      ),
    placement: placementSchema
      .optional()
      .describe("Experts on GPUs, with replicas, placed again as loads change; default: in order on `ranks`."),
    deadWindow: z
      .number()
      .int()
      .positive()
      .optional()
      .describe(
        "An expert without a token in this many last steps is dead; default: 100. Shorter runs take all their steps.",
      ),
    loadSamples: z
      .number()
      .int()
      .positive()
      .default(defaultLoadSamples)
      .describe(
        "Maximum number of steps in loads.csv: the first, the last, and one drawn from each of equal stretches between. " +
          "A run keeps them in memory, 4 bytes per step, router and expert.",
      ),
    stream: streamSchema(),
    routers: z
      .array(routerSchema())
      .min(1)
      .describe("Routers to compare, in place of the model's; all see the same batches."),
    measure: z
      .strictObject({
        scores: scoresField.describe(
          "Affinities in which score, optimum and regret of all routers are measured, whatever each selects by; default: " +
            "the scenario's `scores`, else softmax.",
        ),
        auxLoss: z.strictObject(auxLossFields).prefault({}).describe("Scope of the metric aux_loss."),
      })
      .prefault({})
      .describe("How metrics are measured, the same for all routers."),
    regret: z
      .strictObject({
        every: z
          .number()
          .int()
          .nonnegative()
          .default(1)
          .describe("Compute the optimum on one step of every n, drawn by the seed; 0 turns regret off."),
        gap: z
          .number()
          .nonnegative()
          .default(0)
          .describe("Stop when the optimum is proven to within this much per pair; 0 for the exact optimum."),
      })
      .optional()
      .describe(
        "How often and how exactly regret is computed; default: exactly and on every step, but off with more than 512 " +
          `experts. Allowed with up to ${mostAssignmentExperts} experts.`,
      ),
    sweep: z
      .record(z.string(), z.array(z.unknown()).min(1))
      .optional()
      .describe("Values to try, by dotted path of this scenario."),
    seeds: z
      .array(z.number().int().nonnegative())
      .min(1)
      .optional()
      .describe("Seeds that a sweep runs each combination with."),
  }),
);

/**
 * One router in a scenario file: `kind`, `label` (its name in results; default: its kind), `scores` (affinities;
 * default: the scenario's, else the kind's own), and the options of that kind, which `routers.list()` describes.
 */
export type RouterInput = {
  [Kind in KnownRouterKind as Kind["kind"]]: Written<
    Kind["kind"],
    Kind["options"],
    z.input<z.ZodObject<typeof routerFields>>
  >;
}[KnownRouterKind["kind"]];

/** A token stream in a scenario file: `kind`, and the options of that kind, which `streams.list()` describes. */
export type StreamInput = {
  [Kind in KnownStreamKind as Kind["kind"]]: Written<Kind["kind"], Kind["options"], unknown>;
}[KnownStreamKind["kind"]];

/** One flat object type that error messages can show. */
type Written<Kind extends string, Schema extends z.ZodObject, Shared> = Flat<
  { readonly kind: Kind } & Readonly<Options<Schema>> & Readonly<Shared>
>;
/**
 * Input of an object schema; `unknown` if it has no fields, since zod's own type then allows no other fields beside it.
 */
type Options<Schema extends z.ZodObject> = keyof Schema["shape"] extends never ? unknown : z.input<Schema>;
type Flat<Fields> = { [Field in keyof Fields]: Fields[Field] };

/** A stream as the schema returns it: its kind, and that kind's options. */
export type StreamFields = { kind: string } & Record<string, unknown>;

/** A router as the schema returns it: what every router takes, and its kind's options. */
export type RouterFields = { kind: string; label?: string | undefined; scores?: ScoreKind | undefined } & Record<
  string,
  unknown
>;

/** A scenario as the schema returns it: checked field by field, with the fields' defaults. */
export type ScenarioFields = Omit<z.infer<ReturnType<typeof scenarioSchema>>, "stream" | "routers"> & {
  stream: StreamFields;
  routers: RouterFields[];
};

/** Returns the JSON Schema of a scenario file, for editors: `routers` may be missing if there is a `model`, which has one. */
export function scenarioJsonSchema(): object {
  const { required, ...schema } = z.toJSONSchema(scenarioSchema(), { io: "input" });
  return {
    title: "moesim scenario",
    ...schema,
    required: required?.filter((name) => name !== "routers"),
    anyOf: [{ required: ["routers"] }, { required: ["model"] }],
  };
}

function nonEmpty<Item>(items: readonly Item[]): [Item, ...Item[]] {
  return items as [Item, ...Item[]];
}

import type { RoutingShape, ScoreKind } from "../assignment.ts";
import { shapeText } from "../formats/messages.ts";
import { InputError } from "../input-error.ts";
import { metrics } from "../metrics/catalogue.ts";
import { defaultDeadWindow } from "../metrics/idle.ts";
import { shapeProblem } from "../placement/placement.ts";
import { platform } from "../platform.ts";
import { routerKindOf, routerKinds } from "../routers/index.ts";
import { streamKindOf, streamKinds } from "../streams/index.ts";
import type { StreamShape } from "../streams/stream.ts";
import { suggestion } from "../suggestion.ts";
import { mostAssignmentExperts } from "../transport/assignment/exact-assignment.ts";
import { counted, withOwnStrings } from "../words.ts";
import { withModel } from "./models.ts";
import { describeIssues, formatPath, mostProblems, problemsError } from "./problems.ts";
import type { PlacementRule, RouterChoice, Scenario } from "./scenario.ts";
import { type RouterFields, type ScenarioFields, scenarioSchema } from "./schema.ts";

const defaultSteps = 100;
const defaultTokens = 1024;
/** With more experts, regret would take most of a run's time, so it is computed only on request. */
const defaultRegretExperts = 512;

/**
 * Checks and resolves scenario data. Messages begin with `where`, the source of the data, usually a file. Relative
 * paths are resolved against `folder`.
 */
export async function resolveScenario(written: unknown, where: string, folder = "."): Promise<Scenario> {
  checkRequired(written, where);
  const whole = withModel(written);
  const parsed = scenarioSchema().safeParse(whole);
  if (!parsed.success) {
    const { issues } = parsed.error;
    const hasWrongModel = issues.some(({ path }) => path[0] === "model");
    // The right model would have the routers.
    const shown = hasWrongModel && !Object.hasOwn(Object(whole), "routers") ? issues.filter(isNotOfRouters) : issues;
    throw problemsError(where, describeIssues({ issues: shown }, scenarioSchema(), whole));
  }
  // The unions are made from the registries, so their types do not know what each kind's own schema guarantees.
  const fields = withOwnStrings(parsed.data) as ScenarioFields;

  const streamKind = streamKindOf(fields.stream);
  const { kind: _, ...streamOptions } = fields.stream;
  await streamKind.checkInput?.(streamOptions, folder);
  const streamShape = await shapeOf(fields, streamOptions, folder, where);
  const shape = { ...streamShape, topK: fields.topK, capacityFactor: fields.capacityFactor };

  const routers: RouterChoice[] = [];
  for (const router of fields.routers) {
    routers.push(chooseRouter(await withVectors(router, folder, shape.experts), fields.scores));
  }
  const placement = fields.placement && {
    ...fields.placement,
    slots: fields.placement.slots ?? Math.ceil(shape.experts / fields.placement.gpus) * fields.placement.gpus,
  };
  const problems = [
    ...sizeProblems(fields, shape),
    ...placementProblems(fields.ranks, shape.experts, placement),
    ...(streamKind.check?.(streamOptions, shape) ?? []).map(
      ({ path: inside, message }) => `${formatPath(["stream", ...inside])}: ${message}`,
    ),
    ...routerProblems(routers, shape),
  ];
  if (problems.length > 0) {
    throw problemsError(where, { lines: problems.slice(0, mostProblems), count: problems.length });
  }

  return {
    name: fields.name,
    description: fields.description,
    ...(fields.requires !== undefined && { requires: fields.requires }),
    ...(fields.model !== undefined && { model: fields.model }),
    seed: fields.seed,
    steps: shape.steps,
    tokens: shape.tokens,
    experts: shape.experts,
    topK: fields.topK,
    capacityFactor: fields.capacityFactor,
    capacity: fields.capacity,
    dropBy: fields.dropBy,
    rerouteDepth: fields.rerouteDepth ?? shape.experts,
    ranks: placement?.gpus ?? fields.ranks,
    ...(placement !== undefined && { placement }),
    deadWindow: Math.min(fields.deadWindow ?? defaultDeadWindow, shape.steps),
    loadSamples: fields.loadSamples,
    measure: {
      scores: fields.measure.scores ?? fields.scores ?? "softmax",
      auxLoss: fields.measure.auxLoss,
    },
    regret: fields.regret ?? { every: shape.experts > defaultRegretExperts ? 0 : 1, gap: 0 },
    stream: { kind: fields.stream.kind, options: streamOptions },
    routers,
    ...layersOf(streamShape, streamOptions),
    ...(streamShape.warnings !== undefined && { warnings: streamShape.warnings }),
    folder,
  };
}

/** Throws `InputError` if the scenario requires a router, stream or metric that is not there: a plugin has it. */
function checkRequired(written: unknown, where: string): void {
  const { requires } = Object(written) as { requires?: unknown };
  // The schema says what is wrong with anything else.
  if (!Array.isArray(requires)) return;
  const known = [...routerKinds, ...streamKinds].map(({ kind }) => kind).concat(metrics.map(({ id }) => id));
  const missing = requires.filter((name) => typeof name === "string" && !known.includes(name));
  if (missing.length === 0) return;
  const names = missing.map((name) => JSON.stringify(name)).join(" or ");
  throw new InputError(
    `${where}: requires: there is no router, stream or metric ${names}.${suggestion(missing[0], known)} ` +
      "Give the plugin that has it with --plugin FILE.mjs.",
  );
}

function isNotOfRouters({ path }: { readonly path: readonly PropertyKey[] }): boolean {
  return path[0] !== "routers";
}

/** Returns the layers that the stream found in its file, or makes. */
function layersOf(
  { layers, absentLayers = [] }: StreamShape,
  { layers: made }: Record<string, unknown>,
): Pick<Scenario, "layers" | "absentLayers"> {
  if (layers !== undefined) return { layers, ...(absentLayers.length > 0 && { absentLayers }) };
  return typeof made === "number" && made > 1 ? { layers: Array.from({ length: made }, (_, layer) => layer) } : {};
}

function placementProblems(ranks: number, experts: number, placement: PlacementRule | undefined): string[] {
  if (placement === undefined) return [];
  const problem = shapeProblem({ ...placement, experts });
  return [
    ...(ranks === 1 || ranks === placement.gpus
      ? []
      : [
          `ranks: ${ranks}, but placement has ${counted(placement.gpus, "GPU")}, which are the ranks. Leave ranks out.`,
        ]),
    ...(problem === null ? [] : [`placement.${problem.field}: ${problem.message}`]),
  ];
}

async function shapeOf(
  fields: ScenarioFields,
  streamOptions: Record<string, unknown>,
  folder: string,
  where: string,
): Promise<StreamShape> {
  const { steps, tokens, experts } = fields;
  const streamKind = streamKindOf(fields.stream);
  if (streamKind.shape !== undefined) {
    const wanted = {
      ...(steps !== undefined && { steps }),
      ...(tokens !== undefined && { tokens }),
      ...(experts !== undefined && { experts }),
    };
    return streamKind.shape(streamOptions, wanted, folder);
  }
  if (experts === undefined) throw new InputError(`${where}: experts: missing; expected a positive integer.`);
  return { steps: steps ?? defaultSteps, tokens: tokens ?? defaultTokens, experts };
}

/** Returns the router with the numbers of the files that its options name. Throws `InputError` if one is not fit for them. */
async function withVectors(router: RouterFields, folder: string, experts: number): Promise<RouterFields> {
  const read = { ...router };
  for (const name of routerKindOf(router).vectors ?? []) {
    const written = router[name];
    if (typeof written === "string") read[name] = await readVector(name, written, folder, experts);
  }
  return read;
}

/** Reads one finite number per expert from a file of any shape. */
async function readVector(name: string, path: string, folder: string, experts: number): Promise<number[]> {
  // Few scenarios need it, and all would wait for the formats to load.
  const { openVector } = await import("../formats/vector.ts");
  const vector = await openVector(await platform().open(path, folder));
  try {
    const { file, shape, length } = vector;
    if (length !== experts) {
      throw new InputError(
        `${file}: ${shapeText(shape)} holds ${counted(length, "number")}; ${name} needs one for each of ${counted(experts, "expert")}`,
      );
    }
    const values = new Float64Array(experts);
    await vector.read(values);
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0)
      throw new InputError(`${file}: the number of expert ${bad} is ${values[bad]}; ${name} must be finite`);
    return Array.from(values);
  } finally {
    await vector.close();
  }
}

/** Returns the affinities that a router uses: its own `scores`, else the scenario's, else its kind's default. */
function chooseRouter(router: RouterFields, scenarioScores: ScoreKind | undefined): RouterChoice {
  const { kind, label, scores, ...options } = router;
  return {
    kind,
    name: label ?? kind,
    scores: scores ?? scenarioScores ?? routerKindOf(router).defaultScores ?? "softmax",
    options,
  };
}

function sizeProblems(fields: ScenarioFields, shape: RoutingShape & StreamShape): string[] {
  const problems: string[] = [];
  if (fields.topK > shape.experts) {
    problems.push(
      `topK: ${fields.topK} is more than the ${counted(shape.experts, "expert")}. Allowed: 1 to ${shape.experts}.`,
    );
  }
  if (fields.regret !== undefined && fields.regret.every > 0 && shape.experts > mostAssignmentExperts) {
    problems.push(
      `regret: the optimum takes at most ${mostAssignmentExperts} experts, not ${shape.experts}. Allowed: every: 0.`,
    );
  }
  if (fields.ranks > shape.experts) {
    problems.push(
      `ranks: ${fields.ranks} is more than the ${counted(shape.experts, "expert")}. Allowed: 1 to ${shape.experts}.`,
    );
  }
  return problems;
}

function routerProblems(routers: readonly RouterChoice[], shape: RoutingShape): string[] {
  return routers.flatMap((router, index) => {
    const problems = routerKindOf(router).check?.(router.options, shape) ?? [];
    const lines = problems.map(
      ({ path: inside, message }) => `${formatPath(["routers", index, ...inside])}: ${message}`,
    );
    if (routers.findIndex(({ name }) => name === router.name) < index) {
      lines.push(`routers[${index}]: another router is named ${JSON.stringify(router.name)}. Give each its own label.`);
    }
    return lines;
  });
}

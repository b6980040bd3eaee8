import { writeFileSync } from "node:fs";
import type { CommandModule } from "yargs";
import {
  checkExperts,
  type ExpertMap,
  expertMapFormats,
  expertMapText,
  parseExpertMap,
} from "../../core/formats/expert-map.ts";
import { openTensor } from "../../core/formats/open-tensor.ts";
import { InputError } from "../../core/input-error.ts";
import { type PlacementMethod, placementMethods } from "../../core/placement/index.ts";
import { isHierarchical, type PlacementShape, shapeProblem } from "../../core/placement/placement.ts";
import {
  createLayerPlacer,
  type LoadedLayer,
  type PlacedLayer,
  type PlacementFigures,
} from "../../core/simulation/place.ts";
import { counted, escapeUnprintable, listed } from "../../core/words.ts";
import { readSmallFile } from "../../node/files/input-file.ts";
import { type CommonArguments, optionGroups, positiveInteger, wideOption } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { checkTarget, withOutputFile } from "../output.ts";
import { createProgress } from "../progress.ts";
import { printJson, tableStyle, writeLines } from "../terminal.ts";
import { formatTable } from "../text/table.ts";

/** A map of 61 layers × 1,000 slots takes half a megabyte. */
const mostMapBytes = 64 * 1024 * 1024;

interface PlaceArguments extends CommonArguments {
  path: string;
  gpus?: number | undefined;
  nodes: number;
  slots?: number | undefined;
  groups: number;
  method: PlacementMethod;
  gap: number;
  split: number;
  map?: string | undefined;
  out?: string | undefined;
  format?: (typeof expertMapFormats)[number] | undefined;
  wide: boolean;
}

export const placeCommand: CommandModule<CommonArguments, PlaceArguments> = {
  builder: (yargs) =>
    yargs
      .positional("path", { type: "string", demandOption: true, describe: "File of recorded loads" })
      .option("gpus", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        describe: "Number of GPUs that share the experts of a layer",
      })
      .option("nodes", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        default: 1,
        describe: "Number of nodes with equally many GPUs",
      })
      .option("slots", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        describe: "Experts on all GPUs together, with replicas",
        defaultDescription: "one per expert, rounded up to a multiple of --gpus",
      })
      .option("groups", {
        type: "number",
        group: optionGroups.input,
        requiresArg: true,
        default: 1,
        describe: "Groups of experts; each stays on a node if --nodes divides them",
      })
      .option("method", {
        group: optionGroups.computation,
        choices: placementMethods,
        requiresArg: true,
        default: "balanced" as const,
        describe: "How to place: the best found, DeepSeek's EPLB, or in order",
      })
      .option("gap", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 0,
        describe: "Stop when proven to be within this of the best, e.g. 0.01",
      })
      .option("split", {
        type: "number",
        group: optionGroups.computation,
        requiresArg: true,
        default: 0.5,
        describe: "Share of the steps to fit to; the others judge",
      })
      .option("map", {
        type: "string",
        group: optionGroups.input,
        requiresArg: true,
        describe: "Judge this expert map of an engine instead of placing",
      })
      .option("out", {
        type: "string",
        group: optionGroups.output,
        requiresArg: true,
        describe: "File for the plan: JSON, or what --format says",
      })
      .option("format", {
        group: optionGroups.output,
        choices: expertMapFormats,
        requiresArg: true,
        describe: "Write --out as the expert map of this engine",
      })
      .option("wide", wideOption)
      .example(
        examples({
          "What would moving experts between 8 GPUs gain?": "$0 place loads.npy --gpus 8",
          "And 32 replicas, with the placement for vLLM on Ascend":
            "$0 place loads.npy --gpus 32 --slots 288 --out map.json --format vllm-ascend",
          "How good is the placement in use?": "$0 place loads.npy --gpus 32 --map physical_to_logical.json",
        }),
      )
      .epilogue(epilogue(["--out  placement and figures of each layer, or an engine's expert map"])),
  handler: place,
};

async function place(options: PlaceArguments): Promise<void> {
  const { path, out, format, map: mapFile, method } = options;
  checkFractions(options);
  if (format !== undefined && out === undefined) {
    throw new InputError(`--format: ${format} says how to write the map; name its file with --out`);
  }
  if (out !== undefined) {
    checkTarget("out", out, [
      { name: "PATH", file: path },
      ...(mapFile === undefined ? [] : [{ name: "--map", file: mapFile }]),
    ]);
  }
  const map = mapFile === undefined ? null : readMap(mapFile);
  const { layers, experts } = await openLayers(path);
  const shape = shapeOf(options, experts, map);
  if (map !== null) checkExperts(map, experts, escapeUnprintable(mapFile!));
  const placer = createLayerPlacer({ shape, method, gap: options.gap, split: options.split });
  const progress = createProgress(layers.length, "layers", options.quiet);
  const placed: PlacedLayer[] = [];
  const absent: number[] = [];
  try {
    for (const [index, layer] of layers.entries()) {
      const given = map === null ? undefined : placementOf(map, layer.layer, index, layers.length, mapFile!);
      const found = await placer(layer, given);
      if (found === null) absent.push(layer.layer);
      else placed.push(found);
      progress.update(index + 1);
    }
  } finally {
    progress.stop();
  }
  if (placed.length === 0)
    throw new InputError(`${escapeUnprintable(path)}: no layer has any load, so there is nothing to place`);
  const plan = planOf(options, shape, placed, absent);
  if (out !== undefined) {
    const { gpus } = shape;
    const text =
      format === undefined
        ? `${JSON.stringify(plan)}\n`
        : expertMapText(
            { format, gpus, layers: new Map(placed.map(({ layer, expertOfSlot }) => [layer, expertOfSlot])) },
            experts,
          );
    await withOutputFile(out, async (staged) => writeFileSync(staged, text));
  }
  if (options.json) printJson(plan);
  else if (!options.quiet) printPlan(options, shape, placed, absent);
}

function checkFractions({ gap, split }: PlaceArguments): void {
  if (!(typeof gap === "number" && gap >= 0)) {
    throw new InputError(`--gap: ${gap} is not allowed; give a number of at least 0`);
  }
  if (!(typeof split === "number" && split > 0 && split <= 1)) {
    throw new InputError(`--split: ${split} is not allowed; give a share of the steps, above 0 and at most 1`);
  }
}

function readMap(file: string): ExpertMap {
  return parseExpertMap(readSmallFile(file, mostMapBytes).toString("utf8"), escapeUnprintable(file));
}

function shapeOf(options: PlaceArguments, experts: number, map: ExpertMap | null): PlacementShape {
  const mapSlots = map === null ? undefined : (map.layers.values().next().value as Int32Array).length;
  const givenGpus = options.gpus ?? map?.gpus ?? undefined;
  if (givenGpus === undefined) throw new InputError("place: --gpus is missing; give the number of GPUs");
  if (map !== null && map.gpus !== null && map.gpus !== givenGpus) {
    throw new InputError(`--gpus: ${givenGpus}, but the map is for ${map.gpus} GPUs`);
  }
  const gpus = positiveInteger("gpus", givenGpus);
  const slots = positiveInteger("slots", options.slots ?? mapSlots ?? Math.ceil(experts / gpus) * gpus);
  if (mapSlots !== undefined && mapSlots !== slots) {
    throw new InputError(`--slots: ${slots}, but the map has ${mapSlots} slots in each layer`);
  }
  const nodes = positiveInteger("nodes", options.nodes);
  const groups = positiveInteger("groups", options.groups);
  const shape = { experts, gpus, slots, nodes, groups };
  const problem = shapeProblem(shape);
  if (problem !== null) throw new InputError(`--${problem.field}: ${problem.message}`);
  return shape;
}

/** Finds a layer's placement by its id, else by its place among as many layers. */
function placementOf(map: ExpertMap, layer: number, index: number, count: number, file: string): Int32Array {
  const byId =
    map.layers.get(layer) ?? (map.layers.size === count ? Array.from(map.layers.values())[index] : undefined);
  if (byId !== undefined) return byId;
  throw new InputError(
    `${escapeUnprintable(file)}: no placement for layer ${layer}; the map has ${counted(map.layers.size, "layer")}: ` +
      listed(Array.from(map.layers.keys(), String)),
  );
}

/** Opens loads `[steps × experts]` of one layer. */
async function openLayers(path: string): Promise<{ layers: LoadedLayer[]; experts: number }> {
  const reader = await openTensor(path, {}, "integers");
  await reader.close();
  const { rows, columns } = reader;
  const open = async () => {
    const opened = await openTensor(path, {}, "integers");
    const load = new Float64Array(columns);
    return {
      next: async () => ((await opened.read(load, 1)) === 0 ? null : load),
      close: () => opened.close(),
    };
  };
  return { layers: [{ layer: 0, steps: rows, open }], experts: columns };
}

function figuresObject(figures: PlacementFigures): Record<string, unknown> {
  return {
    steps: figures.steps,
    max_rank_load: figures.maxRankLoad,
    mean_rank_load: figures.meanRankLoad,
    balancedness: figures.balancedness,
    step_time: figures.stepTime,
    lower_bound: figures.lowerBound,
    gap: figures.gap,
    unplaced: { max_rank_load: figures.unplaced.maxRankLoad, step_time: figures.unplaced.stepTime },
  };
}

function planOf(
  options: PlaceArguments,
  shape: PlacementShape,
  placed: readonly PlacedLayer[],
  absent: number[],
): object {
  const { experts, gpus, nodes, slots, groups } = shape;
  const { path, method, map, gap, split } = options;
  return {
    file: path,
    method: map === undefined ? method : null,
    map: map ?? null,
    experts,
    gpus,
    nodes,
    slots,
    groups,
    hierarchical: nodes > 1 && isHierarchical(shape),
    gap,
    split,
    absent_layers: absent,
    layers: placed.map(({ layer, expertOfSlot, replicas, fitted, later }) => ({
      layer,
      ...figuresObject(fitted),
      later: later && figuresObject(later),
      replicas: Array.from(replicas),
      physical_to_logical: Array.from(expertOfSlot),
    })),
  };
}

function printPlan(
  { map, method, path, out, wide }: PlaceArguments,
  { experts, gpus, slots }: PlacementShape,
  placed: readonly PlacedLayer[],
  absent: readonly number[],
): void {
  const isJudged = map !== undefined;
  const hasLater = placed.some(({ later }) => later !== null);
  const what = isJudged ? `placement of ${escapeUnprintable(map)}` : method;
  process.stdout.write(
    `${escapeUnprintable(path)}: ${counted(placed.length, "layer")}, ${counted(experts, "expert")} in ${counted(slots, "slot")} ` +
      `on ${counted(gpus, "GPU")}, ${what}\n\n`,
  );
  const columns = ["slowdown\nunplaced", "slowdown\nplaced", "max\n/ mean", "bound\n/ mean", "gap\n%"];
  const cells = (figures: PlacementFigures | null) =>
    figures === null
      ? columns.map(() => null)
      : [
          figures.unplaced.stepTime,
          figures.stepTime,
          1 / figures.balancedness,
          figures.lowerBound / figures.meanRankLoad,
          100 * figures.gap,
        ];
  const header = hasLater
    ? [
        "\n\nlayer",
        ...columns.map((name) => `${isJudged ? "first" : "fitted"}\n${name}`),
        ...columns.map((name) => `later\n${name}`),
      ]
    : ["layer", ...columns];
  const rows = placed.map(({ layer, fitted, later }) => [layer, ...cells(fitted), ...(hasLater ? cells(later) : [])]);
  process.stdout.write(`${formatTable(header, rows, { colors: tableStyle(wide).colors })}\n`);
  const mean = (value: (each: PlacedLayer) => number | undefined) => {
    const values = placed.map(value).filter((each) => each !== undefined);
    return values.reduce((sum, each) => sum + each, 0) / values.length;
  };
  const percent = (slowdown: number) => `${(100 * (slowdown - 1)).toFixed(2)} %`;
  const sentence = (steps: string, of: (each: PlacedLayer) => PlacementFigures | null) =>
    `On the ${steps}, a step waits ${percent(mean((each) => of(each)?.stepTime))} longer than in perfect balance; unplaced it ` +
    `waits ${percent(mean((each) => of(each)?.unplaced.stepTime))}.`;
  const lines = [
    sentence(
      hasLater && !isJudged ? "steps it was fitted to" : hasLater ? "first steps" : "recorded loads",
      ({ fitted }) => fitted,
    ),
    ...(hasLater ? [sentence("steps after these", ({ later }) => later)] : []),
    "A slowdown is the mean over steps of the largest load of a GPU / the mean; the bound is of the loads summed over the steps.",
    ...(absent.length > 0
      ? [`Without any load, so left out: ${listed(absent.map((layer) => `layer ${layer}`))}.`]
      : []),
    ...(out === undefined ? [] : [`Written to ${escapeUnprintable(out)}`]),
  ];
  writeLines(process.stdout, `\n${lines.join("\n")}`);
}

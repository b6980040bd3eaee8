import { writeFileSync } from "node:fs";
import type { CommandModule } from "yargs";
import { mostExperts } from "../../core/assignment.ts";
import {
  checkExperts,
  type ExpertMap,
  expertMapFormats,
  expertMapText,
  parseExpertMap,
} from "../../core/formats/expert-map.ts";
import { choicesByLayer, leastExperts } from "../../core/formats/recorded-choices.ts";
import type { Recording } from "../../core/formats/recording.ts";
import { InputError } from "../../core/input-error.ts";
import { distinctProblem, findSecondReplica } from "../../core/placement/distinct.ts";
import { type PlacementMethod, placementMethods } from "../../core/placement/index.ts";
import { isHierarchical, type PlacementShape, shapeProblem } from "../../core/placement/placement.ts";
import {
  createLayerPlacer,
  type LoadedLayer,
  type PlacedLayer,
  type PlacementFigures,
} from "../../core/simulation/place.ts";
import { counted, escapeUnprintable, listed, rangesText } from "../../core/words.ts";
import { readSmallFile } from "../../node/files/input-file.ts";
import { findRecordedFiles, openRecordedFiles } from "../../node/files/recorded-files.ts";
import { type CommonArguments, optionGroups, positiveInteger, wideOption } from "../common-options.ts";
import { epilogue, examples } from "../help.ts";
import { checkTarget, withOutputFile } from "../output.ts";
import { createProgress } from "../progress.ts";
import { type RecordingArguments, readingOptions, recordedPaths, recordingOptions } from "../recording-options.ts";
import { printJson, sayTakenFor, tableStyle, writeLines } from "../terminal.ts";
import { formatTable } from "../text/table.ts";

/** A map of 61 layers × 1,000 slots takes half a megabyte. */
const mostMapBytes = 64 * 1024 * 1024;
const mostModelLayers = 100_000;
/** Pixels of a PNG per pixel of the picture. */
const pngScale = 2;

interface PlaceArguments extends CommonArguments, RecordingArguments {
  paths: string[];
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
  "model-layers"?: number | undefined;
  picture?: string | undefined;
  wide: boolean;
}

export const placeCommand: CommandModule<CommonArguments, PlaceArguments> = {
  builder: (yargs) =>
    yargs
      .positional("paths", recordedPaths)
      .options(recordingOptions)
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
        describe: "Share of the steps with load to fit to; the others judge",
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
      .option("model-layers", {
        type: "number",
        group: optionGroups.output,
        requiresArg: true,
        describe: "With --format sglang: all layers of the model, dense ones too",
        defaultDescription: "up to the last placed one",
      })
      .option("picture", {
        type: "string",
        group: optionGroups.output,
        requiresArg: true,
        describe: "Draw each GPU's load before and after: .svg, .png or .pdf",
      })
      .option("wide", wideOption)
      .example(
        examples({
          "What would moving experts between 8 GPUs gain?": "$0 place loads.npy --gpus 8",
          "And 32 replicas, with the placement for vLLM on Ascend":
            "$0 place loads.npy --gpus 32 --slots 288 --out map.json --format vllm-ascend",
          "Draw the loads of the GPUs before and after": "$0 place loads.npy --gpus 8 --picture gpus.svg",
          "How good is the placement in use?": "$0 place loads.npy --gpus 32 --map physical_to_logical.json",
        }),
      )
      .epilogue(
        epilogue([
          "--out      placement and figures of each layer, or an engine's expert map",
          "--picture  loads of the GPUs before and after, on the later steps if there are any",
        ]),
      ),
  handler: place,
};

async function place(options: PlaceArguments): Promise<void> {
  const files = await findRecordedFiles(options.paths);
  checkOptions(options, files);
  const recording = await openRecordedFiles(files, readingOptions(options));
  try {
    await placeLayers(recording, options);
  } finally {
    await recording.close();
  }
}

function checkOptions(options: PlaceArguments, files: readonly string[]): void {
  const { out, format, map, picture, "model-layers": modelLayers } = options;
  checkFractions(options);
  if (modelLayers !== undefined) {
    positiveInteger("model-layers", modelLayers, mostModelLayers);
    if (format !== "sglang") {
      throw new InputError("--model-layers: only SGLang's map has a row for each layer; add --format sglang");
    }
  }
  if (format !== undefined && out === undefined) {
    throw new InputError(`--format: ${format} says how to write the map; name its file with --out`);
  }
  const inputs = files.map((file) => ({ name: "PATH", file }));
  if (map !== undefined) inputs.push({ name: "--map", file: map });
  if (out !== undefined) checkTarget("out", out, inputs);
  if (picture !== undefined) {
    if (pictureFormat(picture) === undefined) {
      throw new InputError(`--picture ${picture}: end the name with .svg, .png or .pdf`);
    }
    checkTarget("picture", picture, out === undefined ? inputs : [...inputs, { name: "--out", file: out }]);
  }
}

function pictureFormat(file: string): "svg" | "png" | "pdf" | undefined {
  return (["svg", "png", "pdf"] as const).find((format) => file.toLowerCase().endsWith(`.${format}`));
}

/** Returns which steps the picture shows: the later ones if all layers have them. */
function shownSteps(placed: readonly PlacedLayer[], isJudged: boolean): { isLater: boolean; when: string } {
  if (placed.every(({ later }) => later !== null)) {
    return { isLater: true, when: isJudged ? "the later steps" : "the steps after those the placement was fitted to" };
  }
  const isWhole = placed.every(({ later }) => later === null);
  if (isJudged) return { isLater: false, when: isWhole ? "all steps" : "the first steps" };
  return {
    isLater: false,
    when: isWhole ? "all steps, which the placement was fitted to" : "the steps the placement was fitted to",
  };
}

/** Draws the loads of the GPUs on the steps that {@link shownSteps} chose. */
async function drawGpuLoads(
  file: string,
  placed: readonly PlacedLayer[],
  shown: { readonly isLater: boolean; readonly when: string },
): Promise<Buffer | string> {
  // Loading ECharts takes longer than placing.
  const { gpuLoadsPicture } = await import("../../core/pictures/makers/gpu-loads.ts");
  const { themes } = await import("../../core/pictures/parts/theme.ts");
  const { renderPdf, renderPng, renderSvg } = await import("../../node/render/render.ts");
  const loads = placed.map(({ layer, fitted, later }) => {
    const { rankLoad, unplaced, lowerBound } = shown.isLater ? later! : fitted;
    return { layer, unplaced: unplaced.rankLoad, placed: rankLoad, bound: lowerBound };
  });
  const picture = gpuLoadsPicture(loads, shown.when);
  const svg = renderSvg(picture, themes.light);
  const format = pictureFormat(file);
  if (format === "png") return renderPng(svg, pngScale);
  return format === "pdf" ? renderPdf(svg, picture.title) : svg;
}

async function placeLayers(recording: Recording, options: PlaceArguments): Promise<void> {
  const { out, format, map: mapFile, method, picture } = options;
  const map = mapFile === undefined ? null : readMap(mapFile);
  const { layers, experts, notes } = await layersOf(recording, options);
  const shape = shapeOf(options, experts, map);
  if (map !== null) checkExperts(map, experts, escapeUnprintable(mapFile!));
  const isDistinct = format === "vllm-ascend";
  const problem = isDistinct && map === null ? distinctProblem(shape) : null;
  if (problem !== null) throw new InputError(`--slots: ${problem}: vllm-ascend cannot read that`);
  // A map may break the groups, so that only the bound without them is proven for it.
  const judged = map === null ? shape : { ...shape, nodes: 1, groups: 1 };
  const placer = createLayerPlacer({ shape: judged, method, gap: options.gap, split: options.split, isDistinct });
  const progress = createProgress(layers.length, "layers", options.quiet);
  const placed: PlacedLayer[] = [];
  const absent: number[] = [];
  const unmapped: number[] = [];
  try {
    for (const [index, layer] of layers.entries()) {
      progress.update(index);
      // A map that names its layers may have some of them only.
      if (map?.format === "tensorrt-llm" && !map.layers.has(layer.layer)) {
        unmapped.push(layer.layer);
        continue;
      }
      const position = placed.length;
      const given = map === null ? undefined : () => placementOf(map, layer.layer, position, mapFile!);
      const found = await placer(layer, given);
      if (found === null) absent.push(layer.layer);
      else placed.push(found);
      progress.update(index + 1);
    }
  } finally {
    progress.stop();
  }
  if (unmapped.length === layers.length) {
    throw new InputError(
      `${escapeUnprintable(mapFile!)}: it has ${layersListed([...map!.layers.keys()])}; but the loads have ` +
        layersListed(unmapped),
    );
  }
  if (unmapped.length > 0) notes.push(`Not in the map, and left out: ${layersListed(unmapped)}.`);
  if (placed.length === 0)
    throw new InputError(`${recording.name}: no layer has any load, so there is nothing to place`);
  if (map !== null) checkLayers(map, placed, escapeUnprintable(mapFile!));
  const plan = planOf(recording, options, shape, placed, absent);
  const lastLayer = placed[placed.length - 1].layer;
  if (options["model-layers"] !== undefined && options["model-layers"] <= lastLayer) {
    throw new InputError(`--model-layers: ${options["model-layers"]}, but the loads have a layer ${lastLayer}`);
  }
  const { gpus } = shape;
  if (isDistinct) checkDistinct(placed, gpus, escapeUnprintable(mapFile ?? method));
  const placements = new Map(placed.map(({ layer, expertOfSlot }) => [layer, expertOfSlot]));
  const text =
    format === undefined
      ? `${JSON.stringify(plan)}\n`
      : expertMapText({ format, gpus, layers: placements }, experts, options["model-layers"]);
  const drawn = picture === undefined ? null : await drawGpuLoads(picture, placed, shownSteps(placed, map !== null));
  const writeOut = async () => {
    if (out !== undefined) await withOutputFile(out, async (staged) => writeFileSync(staged, text));
  };
  if (drawn === null) await writeOut();
  else {
    await withOutputFile(picture!, async (staged) => {
      writeFileSync(staged, drawn);
      await writeOut();
    });
  }
  if (options.json) printJson(plan);
  else if (!options.quiet) printPlan(recording, options, shape, placed, absent, notes);
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
  if (map !== null && mapSlots! < experts) {
    throw new InputError(
      `${escapeUnprintable(options.map!)}: the map has ${counted(mapSlots!, "slot")} in each layer, too few for the ` +
        `${counted(experts, "expert")} of the loads: it is the map of another model`,
    );
  }
  if (mapSlots !== undefined && mapSlots !== slots) {
    throw new InputError(`--slots: ${slots}, but the map has ${mapSlots} slots in each layer`);
  }
  if (mapSlots !== undefined && mapSlots % gpus !== 0) {
    throw new InputError(
      `--gpus: the map has ${counted(mapSlots, "slot")} in each layer, which do not divide evenly over ${counted(gpus, "GPU")}; ` +
        "give the number of GPUs that the map is for",
    );
  }
  const nodes = positiveInteger("nodes", options.nodes);
  const groups = positiveInteger("groups", options.groups);
  const shape = { experts, gpus, slots, nodes, groups };
  const problem = shapeProblem(shape);
  if (problem !== null) throw new InputError(`--${problem.field}: ${problem.message}`);
  return shape;
}

/**
 * Finds the placement of a layer, the `position`-th that has load, by its number; else by its position, which is what
 * vllm-ascend numbers layers by. See {@link checkLayers}.
 */
function placementOf({ format, layers }: ExpertMap, layer: number, position: number, file: string): Int32Array {
  const inOrder = Array.from(layers.values())[position];
  const found = format === "vllm-ascend" ? inOrder : (layers.get(layer) ?? inOrder);
  if (found !== undefined) return found;
  throw new InputError(
    `${escapeUnprintable(file)}: no placement for layer ${layer}; the map has ${counted(layers.size, "layer")}: ` +
      listed(Array.from(layers.keys(), String)),
  );
}

/** Throws `InputError` if a placement, which must be of a map, cannot be written for vllm-ascend. */
function checkDistinct(placed: readonly PlacedLayer[], gpus: number, name: string): void {
  for (const { layer, expertOfSlot } of placed) {
    const second = findSecondReplica(expertOfSlot, gpus);
    if (second === null) continue;
    throw new InputError(
      `${name}: layer ${layer}: GPU ${second.gpu} holds expert ${second.expert} twice, which vllm-ascend cannot read; place again ` +
        "without --map",
    );
  }
}

function layersListed(layers: readonly number[]): string {
  return `${layers.length === 1 ? "layer" : "layers"} ${rangesText(layers)}`;
}

/** Throws `InputError` if layers cannot be told by their numbers, and are not as many as the map has. */
function checkLayers({ format, layers }: ExpertMap, placed: readonly PlacedLayer[], name: string): void {
  const isByNumber = format !== "vllm-ascend" && placed.every(({ layer }) => layers.has(layer));
  if (isByNumber || layers.size === placed.length) return;
  throw new InputError(
    `${name}: the map has ${counted(layers.size, "layer")}: ${listed(Array.from(layers.keys(), String))}; but the loads have ` +
      `${counted(placed.length, "layer")} with experts: ${listed(placed.map(({ layer }) => String(layer)))}. Select those of the map ` +
      "with --layers",
  );
}

/** Returns the layers of a recording, whose loads can be read again and again, and what to say about it. */
async function layersOf(
  recording: Recording,
  options: PlaceArguments,
): Promise<{ layers: LoadedLayer[]; experts: number; notes: string[] }> {
  const { name, description, holds, hasSteps } = recording;
  const { "top-k": topK } = options;
  if (holds === "logits" && topK === undefined) {
    throw new InputError(`${name}: it holds logits (${description}); give --top-k, the experts per token`);
  }
  const batchTokens =
    options["batch-tokens"] === undefined ? undefined : positiveInteger("batch-tokens", options["batch-tokens"]);
  if (batchTokens !== undefined && (holds === "loads" || hasSteps)) {
    throw new InputError(`--batch-tokens: ${name} already has steps; leave it out`);
  }
  const notes = [...recording.notes];
  if (recording.experts === null) notes.push("The files do not say how many experts there are. --experts says so.");
  const experts = recording.experts ?? (await leastExperts(recording, batchTokens));
  if (!(experts >= 1 && experts <= mostExperts)) {
    throw new InputError(`${name}: no token has an expert; give --experts`);
  }
  const layerOf = choicesByLayer(recording, {
    experts,
    topK,
    batchTokens,
  });
  const layers = recording.layers.map((layer) => ({
    layer,
    steps: layerOf(layer).steps,
    open() {
      const choices = layerOf(layer);
      return { next: async () => (await choices.next())?.load ?? null };
    },
  }));
  return { layers, experts, notes };
}

function figuresObject(figures: PlacementFigures): Record<string, unknown> {
  return {
    steps: figures.steps,
    max_rank_load: figures.maxRankLoad,
    mean_rank_load: figures.meanRankLoad,
    rank_load: Array.from(figures.rankLoad),
    balancedness: figures.balancedness,
    step_time: figures.stepTime,
    lower_bound: figures.lowerBound,
    gap: figures.gap,
    unplaced: {
      max_rank_load: figures.unplaced.maxRankLoad,
      rank_load: Array.from(figures.unplaced.rankLoad),
      step_time: figures.unplaced.stepTime,
    },
  };
}

function planOf(
  recording: Recording,
  options: PlaceArguments,
  shape: PlacementShape,
  placed: readonly PlacedLayer[],
  absent: number[],
): object {
  const { experts, gpus, nodes, slots, groups } = shape;
  const { method, map, gap, split } = options;
  return {
    file: recording.name,
    recording: recording.description,
    method: map === undefined ? method : null,
    map: map ?? null,
    experts,
    gpus,
    nodes,
    slots,
    groups,
    hierarchical: map === undefined && nodes > 1 && isHierarchical(shape),
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
  recording: Recording,
  { map, method, out, picture, split, wide }: PlaceArguments,
  { experts, gpus, slots }: PlacementShape,
  placed: readonly PlacedLayer[],
  absent: readonly number[],
  notes: readonly string[],
): void {
  const isJudged = map !== undefined;
  const hasLater = placed.some(({ later }) => later !== null);
  const what = isJudged ? `placement of ${escapeUnprintable(map)}` : method;
  sayTakenFor({ ...recording, notes });
  process.stdout.write(
    `${escapeUnprintable(recording.name)}: ${counted(placed.length, "layer")}, ${counted(experts, "expert")} in ${counted(slots, "slot")} ` +
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
  const written = [out, picture].filter((file) => file !== undefined);
  const lines = [
    sentence(
      hasLater && !isJudged ? "steps it was fitted to" : hasLater ? "first steps" : "recorded loads",
      ({ fitted }) => fitted,
    ),
    ...(hasLater ? [sentence("steps after these", ({ later }) => later)] : []),
    "A slowdown is the mean over steps of the largest load of a GPU / the mean; the bound is of the loads summed over the steps.",
    ...(isJudged || split === 1 ? [] : noLaterSentences(placed)),
    ...(absent.length > 0
      ? [`Without any load, so left out: ${listed(absent.map((layer) => `layer ${layer}`))}.`]
      : []),
    ...(picture === undefined ? [] : [`The picture shows ${shownSteps(placed, isJudged).when}.`]),
    ...(written.length === 0 ? [] : [`Written to ${escapeUnprintable(written.join(" and "))}`]),
  ];
  writeLines(process.stdout, `\n${lines.join("\n")}`);
}

/** Says if there are no later steps with load to judge a placement on. */
function noLaterSentences(placed: readonly PlacedLayer[]): string[] {
  const withoutLater = placed.filter(({ later }) => later === null).map(({ layer }) => layer);
  if (withoutLater.length === 0) return [];
  const where =
    withoutLater.length === placed.length
      ? ""
      : ` in ${withoutLater.length === 1 ? "layer" : "layers"} ${rangesText(withoutLater)}`;
  return [
    `Nothing is judged on later steps${where}: no step with load is left after those the placement was fitted to. Record more steps.`,
  ];
}

import type { LineSeriesOption } from "echarts";
import { type Diagnosis, type LayerDiagnosis, worstFirst } from "../diagnosis/diagnosis.ts";
import { loadPerRank } from "../metrics/load.ts";
import { lowerBound } from "../placement/lower-bound.ts";
import { placedLoad, replicaCounts } from "../placement/placement.ts";
import type { Interval } from "../results/interval.ts";
import { counted } from "../words.ts";
import { gpuLoadsPicture, type LayerGpuLoads } from "./makers/gpu-loads.ts";
import { expertsPerColumn, layerLoadsPanel } from "./makers/layers.ts";
import { layerAxis, vertical } from "./parts/axes.ts";
import { cellsWidth, heatMap, loadScale } from "./parts/heat-map.ts";
import { legendOf, strokes } from "./parts/legend.ts";
import { inWords, rounded } from "./parts/text.ts";
import { variantColor, variantDash } from "./parts/theme.ts";
import { type Picture, pictureWidth, plotHeightOf } from "./picture.ts";

const plotHeight = 320;
/** Up to this many layers, each point of a line is marked. */
const mostMarked = 64;
const mostNamed = 3;
/** Minimum pixels of a heat map's rows together, and of one row if there are few. */
const [usualHeight, rowHeight] = [128, 28];

/**
 * Returns the pictures of a diagnosis: the loads of all layers; if there are several, what remedies do to each; and on GPUs, their
 * loads before and after placing experts.
 */
export function diagnosisPictures(diagnosis: Diagnosis, width = pictureWidth): Picture[] {
  const further = [remediesPicture(diagnosis, width), gpusPicture(diagnosis, width)];
  return [loadsPicture(diagnosis, width), ...further.filter((picture) => picture !== null)];
}

/** The loads of the GPUs before and after the placement of part A; null without GPUs, or if nothing could be placed. */
function gpusPicture({ shape, layers }: Diagnosis, width: number): Picture | null {
  if (shape === null) return null;
  const { gpus } = shape;
  // One way for all layers, so that rows can be compared.
  const remedy = layers.some(({ verdict }) => verdict.remedy === "replicas") ? "replicas" : "moves";
  const drawn = layers.flatMap(({ layer, load: counts, placement }): LayerGpuLoads[] => {
    if (placement === null) return [];
    const load = counts.map((count) => Math.max(0, count));
    const slots = placement[remedy];
    return [
      {
        layer,
        unplaced: loadPerRank(load, gpus, new Float64Array(gpus)),
        placed: placedLoad(load, slots, replicaCounts(slots, load.length), new Float64Array(gpus)),
        bound: lowerBound(load, gpus, slots.length),
      },
    ];
  });
  if (drawn.length === 0) return null;
  const how = remedy === "replicas" ? "moved, with a replica per GPU" : "moved";
  return gpuLoadsPicture(drawn, `the whole recording, with experts ${how} as fitted to part A`, width);
}

/** The load of each expert of each layer in the run. */
function loadsPicture(diagnosis: Diagnosis, width: number): Picture {
  const { layers, experts } = diagnosis;
  const groupSize = expertsPerColumn(experts, layers.length, cellsWidth(1, width));
  const panel = layerLoadsPanel(
    "",
    layers.map(({ layer, load }) => ({ layer, load: load.map((count) => (count < 0 ? Number.NaN : count)) })),
    groupSize,
  );
  const isDisabled = layers.some(({ load }) => load.includes(-1));
  return {
    id: "loads",
    title: layers.length === 1 ? "Loads of the experts" : "Loads of the experts by layer",
    reading: [
      "One row per layer, one column per expert: the load of the whole recording, in percent of the layer's mean. Even colour means " +
        "balance; a cell in the contrasting colour is an expert without a token. Columns of different rows are different experts.",
      ...(isDisabled ? ["Disabled experts are left empty."] : []),
      ...(groupSize > 1
        ? [
            `A column covers up to ${groupSize} neighbouring experts and shows the fullest; it is idle if all of them are.`,
          ]
        : []),
    ].join(" "),
    finding: loadsFinding(diagnosis),
    ...heatMap([panel], width, {
      dimensions: ["expert", "layer", "load, % of the layer's mean"],
      ...loadScale(panel.values.filter((value) => !Number.isNaN(value))),
      isDownward: true,
      most: 1,
      panelHeight: Math.min(usualHeight, rowHeight * layers.length),
    }),
  };
}

function loadsFinding(diagnosis: Diagnosis): string {
  const [worst] = diagnosis.layers.toSorted((a, b) => b.maxVioRun - a.maxVioRun || a.layer - b.layer);
  const hottest = worst.hottest
    .filter(({ ratio }) => ratio > 1)
    .slice(0, mostNamed)
    .map(({ expert, ratio }) => `${expert} (${inWords(ratio)} times the mean)`);
  const where = diagnosis.layers.length === 1 ? "" : ` in layer ${worst.layer}`;
  const busy =
    hottest.length === 0
      ? `All experts are equally busy${where}`
      : `The busiest experts${where}: ${hottest.join(", ")}`;
  const idle = diagnosis.layers.reduce((sum, { idleExperts }) => sum + idleExperts.length, 0);
  const all = diagnosis.layers.length === 1 ? "" : ", counted over all layers";
  return `${busy}. ${idle === 0 ? "No expert is" : `${counted(idle, "expert")} ${idle === 1 ? "is" : "are"}`} idle in the whole recording${all}.`;
}

/** The slowdown, or MaxVio, of a batch of part B in each layer, without and with each remedy; null for one layer. */
function remediesPicture(diagnosis: Diagnosis, width: number): Picture | null {
  const { shape } = diagnosis;
  const layers = diagnosis.layers.filter(({ b }) => b !== null);
  if (layers.length < 2) return null;
  // Without GPUs, the slowdown of experts is 1 + MaxVio.
  const shift = shape === null ? 1 : 0;
  const lines: readonly { name: string; of: (layer: LayerDiagnosis) => Interval | null | undefined }[] = [
    { name: "as it is", of: ({ b }) => b!.plain.slowdown },
    { name: "with a bias", of: ({ b }) => b!.biased?.slowdown },
    { name: "experts moved", of: ({ b }) => b!.moves?.slowdown },
    { name: "moved, with replicas", of: ({ b }) => b!.replicas?.slowdown },
    {
      name: "balanced but for chance",
      of: ({ b }) =>
        b!.excess === null ? null : { ...b!.plain.slowdown, mean: b!.plain.slowdown.mean - b!.excess.mean },
    },
  ];
  const drawn = lines.filter(({ of }) => layers.some((layer) => of(layer)));
  const { legend, height } = legendOf(strokes(drawn.map(({ name }) => name)), width);
  const bottom = height + 44;
  const ids = layers.map(({ layer }) => layer);
  const unit = shape === null ? "MaxVio of a batch" : `slowdown on ${counted(shape.gpus, "GPU")}`;
  return {
    id: "remedies",
    title: shape === null ? "MaxVio of a batch by layer" : "Slowdown by layer",
    reading:
      `Mean ${unit} over the batches of part B, which came after those that the remedies were fitted to. The lowest line is what ` +
      "perfectly balanced routing shows by chance in batches of this size.",
    finding: remediesFinding(diagnosis, unit, shift),
    height: plotHeightOf(width, plotHeight) + bottom,
    option: {
      legend,
      grid: { left: 64, right: 24, top: 40, bottom },
      xAxis: layerAxis(ids),
      yAxis: { ...vertical, type: "value", name: unit },
      tooltip: { trigger: "axis" },
      series: drawn.map(({ name, of }): LineSeriesOption => {
        const position = lines.findIndex((line) => line.name === name);
        return {
          name,
          type: "line",
          color: variantColor(position),
          lineStyle: { type: variantDash(position), width: 1.5 },
          symbol: layers.length > mostMarked ? "none" : "circle",
          symbolSize: 5,
          data: layers.map((layer) => {
            const interval = of(layer);
            return [layer.layer, interval ? rounded(interval.mean - shift) : null];
          }),
        };
      }),
    },
  };
}

function remediesFinding(diagnosis: Diagnosis, unit: string, shift: number): string {
  const ranked = worstFirst(diagnosis).filter(({ b }) => b !== null);
  const [worst] = ranked;
  return `The worst layer is ${worst.layer}, with a ${unit} of ${inWords(worst.b!.plain.slowdown.mean - shift)} on part B.`;
}

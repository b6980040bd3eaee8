import { ascending, descending, max, mean, range, sum } from "d3-array";
import type { LineSeriesOption } from "echarts";
import { layerAxis, vertical } from "../parts/axes.ts";
import { firstSeedNotes, leftOutNotes, rangeSentence, subjectShown } from "../parts/findings.ts";
import { cellsWidth, type HeatMapPanel, heatMap, loadScale, rangeLabel } from "../parts/heat-map.ts";
import { legendOf, strokes } from "../parts/legend.ts";
import type { LayerData, ReportData, VariantData } from "../parts/report-data.ts";
import { drawnName, inWords, rounded } from "../parts/text.ts";
import { variantColor, variantDash } from "../parts/theme.ts";
import { type Picture, pictureWidth, plotHeightOf } from "../picture.ts";

const plotHeight = 320;
/** Maximum cells of all panels together, to keep a page small. */
const mostCells = 40_000;
const leastColumns = 16;
const leastCellWidth = 2;
/** Maximum number of layers named as the worst of a router. */
const mostNamed = 3;
/** With more experts, panels stand below each other. */
const mostAcross = 64;
/** Up to this many layers, each point of a line is marked. */
const mostMarked = 64;

type LayeredVariant = VariantData & { readonly layers: readonly LayerData[] };

/** The variants with results of several layers, those with the largest mean MaxVio first. */
function worstFirst({ variants }: ReportData): LayeredVariant[] {
  const meanOf = ({ layers }: LayeredVariant) => mean(layers, ({ maxVio }) => maxVio) ?? Number.NEGATIVE_INFINITY;
  return variants
    .filter((variant): variant is LayeredVariant => variant.layers !== null && variant.layers.length > 1)
    .sort((a, b) => descending(meanOf(a), meanOf(b)));
}

/** The layers of a variant, those with the largest MaxVio first; ties by id. */
function worstLayers({ layers }: LayeredVariant): (LayerData & { readonly maxVio: number })[] {
  return layers
    .filter((one): one is LayerData & { maxVio: number } => one.maxVio !== null)
    .sort((a, b) => descending(a.maxVio, b.maxVio) || ascending(a.layer, b.layer));
}

/** MaxVio of the run in each layer, a line per variant. */
export function layerMaxVioPicture(data: ReportData, width = pictureWidth): Picture | null {
  const variants = worstFirst(data).toSorted((a, b) => ascending(a.position, b.position));
  if (variants.length === 0) return null;
  const names = variants.map(({ name }) => drawnName(name));
  const { legend, height } = legendOf(strokes(names), width);
  const bottom = height + 44;
  const ids = variants.flatMap(({ layers }) => layers.map(({ layer }) => layer));
  return {
    id: "layer-max-vio",
    title: "MaxVio by layer",
    reading: [
      "How far the fullest expert of each layer is above the layer's mean load, on the loads of the whole run; 0 is perfect " +
        "balance. Layers have the model's numbers; gaps are layers without a router.",
      ...leftOutNotes(data),
    ].join(" "),
    finding: rangeSentence(
      subjectShown("The worst layer's MaxVio", data, "all"),
      variants.flatMap((variant, index) => {
        const [worst] = worstLayers(variant);
        return worst === undefined
          ? []
          : [{ name: `${names[index]} in layer ${worst.layer}`, value: rounded(worst.maxVio) }];
      }),
    ),
    height: plotHeightOf(width, plotHeight) + bottom,
    option: {
      legend,
      grid: { left: 64, right: 24, top: 40, bottom },
      xAxis: layerAxis(ids),
      yAxis: { ...vertical, type: "value", name: "MaxVio of the run" },
      tooltip: { trigger: "axis" },
      series: variants.map(
        ({ position, layers }, index): LineSeriesOption => ({
          name: names[index],
          type: "line",
          color: variantColor(position),
          lineStyle: { type: variantDash(position), width: 1.5 },
          symbol: layers.length > mostMarked ? "none" : "circle",
          symbolSize: 5,
          data: layers.map(({ layer, maxVio }) => [layer, maxVio === null ? null : rounded(maxVio)]),
        }),
      ),
    },
  };
}

/** The load of each expert of each layer, a panel per variant, the worst first; idle experts stand out. */
export function layerLoadsPicture(data: ReportData, width = pictureWidth): Picture | null {
  const variants = worstFirst(data).filter(({ layers }) => layers.every(({ load }) => load !== null));
  if (variants.length === 0) return null;
  // Rows are layers, so a wide model fits best in one or two columns of panels.
  const experts = max(variants, ({ layers }) => max(layers, ({ load }) => load!.length))!;
  const side = experts > mostAcross ? 1 : 2;
  const cells = sum(variants, ({ layers }) => layers.length);
  const groupSize = expertsPerColumn(experts, cells, cellsWidth(variants.length, width, side));
  const panels = variants.map((variant): HeatMapPanel => panelOf(variant, groupSize));
  const steps = max(variants, ({ layers }) => layers[0].steps)!;
  return {
    id: "layer-loads",
    title: "Loads of the experts by layer",
    reading: [
      "One panel per router, the least balanced first; one row per layer, one column per expert: the load over the " +
        `${steps === 1 ? "step" : `${steps} steps`} in loads.csv, in percent of the layer's mean. Even colour means balance; a ` +
        "cell in the contrasting colour is an expert without a token. Columns of different rows are different experts.",
      ...(groupSize > 1
        ? [
            `A column covers up to ${groupSize} neighbouring experts and shows the fullest; it is idle if all of them are.`,
          ]
        : []),
      ...firstSeedNotes(data),
      ...leftOutNotes(data),
    ].join(" "),
    finding: worstSentence(variants[0]),
    ...heatMap(panels, width, {
      dimensions: ["expert", "layer", "load, % of the layer's mean"],
      ...loadScale(panels.flatMap(({ values }) => values)),
      isDownward: true,
      most: side,
    }),
  };
}

function panelOf(variant: LayeredVariant, groupSize: number): HeatMapPanel {
  const { name, layers } = variant;
  const [worst] = worstLayers(variant);
  const title = [drawnName(name), ...(worst === undefined ? [] : [`worst: layer ${worst.layer}`])].join(" · ");
  return layerLoadsPanel(
    title,
    layers.map(({ layer, load }) => ({ layer, load: load! })),
    groupSize,
  );
}

/** Returns how many neighbouring experts share a column of a heat map with `rows` rows on `plotWidth` pixels. */
export function expertsPerColumn(experts: number, rows: number, plotWidth: number): number {
  const columns = Math.min(Math.floor(plotWidth / leastCellWidth), Math.floor(mostCells / rows));
  return Math.ceil(experts / Math.max(leastColumns, columns));
}

/**
 * Returns a panel with a row per layer: the fullest of each `groupSize` neighbouring experts, in percent of the layer's mean
 * load. Experts whose load is NaN are left out.
 */
export function layerLoadsPanel(
  title: string,
  layers: readonly { readonly layer: number; readonly load: ArrayLike<number> }[],
  groupSize: number,
): HeatMapPanel {
  const experts = max(layers, ({ load }) => load.length)!;
  const firstExperts = range(0, experts, groupSize);
  const percents = layers.map(({ load: loads }) => {
    const load = Array.from(loads);
    const average = mean(load)!;
    return firstExperts.map((first) => {
      const fullest = max(load.slice(first, first + groupSize)) ?? Number.NaN;
      // Rounding must not make a busy expert look idle.
      return fullest > 0 ? Math.max(1, Math.round((100 * fullest) / average)) : fullest;
    });
  });
  return {
    title,
    columns: firstExperts.map((first) => rangeLabel(first, Math.min(first + groupSize, experts) - 1)),
    rows: layers.map(({ layer }) => String(layer)),
    values: firstExperts.flatMap((_, column) => percents.map((row) => row[column])),
  };
}

function worstSentence(variant: LayeredVariant): string {
  const worst = worstLayers(variant).slice(0, mostNamed);
  if (worst.length === 0) return "No layer has a load.";
  const texts = worst.map(({ layer, maxVio }) => `${layer} (MaxVio ${inWords(maxVio)})`);
  return `The worst layers of ${drawnName(variant.name)} are ${texts.join(", ")}.`;
}

/** The colour scale ends where a router is as unbalanced as the reference. */
const same = 100;

/**
 * Which layers each router helps: its MaxVio in percent of that of plain top-k (or of the first router) in the same
 * layer. Null with fewer than two variants.
 */
export function layerGainPicture(data: ReportData, width = pictureWidth): Picture | null {
  const all = worstFirst(data).toSorted((a, b) => ascending(a.position, b.position));
  const reference = all.find(({ kind }) => kind === "topk") ?? all[0];
  const others = all.filter((variant) => variant !== reference);
  if (others.length === 0) return null;
  const before = new Map(reference.layers.map(({ layer, maxVio }) => [layer, maxVio]));
  const percentOf = ({ layer, maxVio }: LayerData) => {
    const own = before.get(layer) ?? null;
    return own === null || maxVio === null || own === 0 ? Number.NaN : rounded((100 * maxVio) / own);
  };
  const ids = reference.layers.map(({ layer }) => layer);
  const percents = others.map(({ layers }) => {
    const ofLayer = new Map(layers.map((one) => [one.layer, percentOf(one)]));
    return ids.map((layer) => ofLayer.get(layer) ?? Number.NaN);
  });
  const name = drawnName(reference.name);
  const panels = others.map(({ name: title }, index): HeatMapPanel => {
    return { title: drawnName(title), columns: ids.map(String), rows: [""], values: percents[index] };
  });
  const helped = others.map(({ name }, index) => ({
    name: drawnName(name),
    value: percents[index].filter((percent) => percent < same).length,
  }));
  return {
    id: "layer-gain",
    title: "Which layers a router helps",
    reading: [
      `MaxVio of the run in each layer, in percent of that of ${name} in the same layer. Pale layers are far better balanced ` +
        `than with ${name}, dark ones about as badly; the contrasting colour marks layers that the router makes worse.`,
      ...leftOutNotes(data),
    ].join(" "),
    finding: rangeSentence(
      subjectShown(`The number of the ${ids.length} layers better balanced than with ${name}`, data, "all"),
      helped,
    ),
    ...heatMap(panels, width, {
      dimensions: ["layer", "", `MaxVio, % of ${name}'s`],
      top: same,
      topLabel: `as with ${name}`,
      bottomLabel: "0 %: balanced",
      marked: { isMarked: (percent) => percent > same, range: { gt: same }, label: `worse than ${name}` },
      most: 2,
      panelHeight: 24,
    }),
  };
}

import { max, mean } from "d3-array";
import { stepAxis, vertical, verticalName } from "../parts/axes.ts";
import { leftOutNotes } from "../parts/findings.ts";
import { legendOf, strokes } from "../parts/legend.ts";
import { type Line, lineSeries, linesOf, runningMean } from "../parts/lines.ts";
import { type PanelLayout, panelTitles, placePanels, titlesHeight } from "../parts/panels.ts";
import { placementColumns, type ReportData, type VariantData } from "../parts/report-data.ts";
import { drawnName, inWords } from "../parts/text.ts";
import { type Picture, pictureWidth } from "../picture.ts";

/** Names of {@link placementColumns}, in their order. */
const names = ["no placement", "first placement, kept", "placed again", "best for the step, bound"];
/** Each is a plot of its own. */
const mostVariants = 6;
/** A running mean over this fraction of the steps smooths the noise of the batches, but not the course of a placement. */
const smoothedPart = 1 / 60;
const leastPanelWidth = 300;
const margins = { left: 66, right: 20 } as const;
const titleGap = 12;

/** Slowdown on each step without a placement, with the first one, with the one in force, and its bound; a plot a variant. */
export function placementPicture(data: ReportData, width = pictureWidth): Picture | null {
  const [bound] = placementColumns.slice(-1);
  const hasValues = ({ series }: VariantData) =>
    series.some(({ columns }) => columns[bound].some((value) => !Number.isNaN(value)));
  const variants = data.variants
    .filter(hasValues)
    .sort((a, b) => a.position - b.position)
    .slice(0, mostVariants);
  if (variants.length === 0) return null;
  const steps = max(variants, ({ series }) => max(series, ({ step }) => step.length)) ?? 0;
  const radius = Math.round((smoothedPart * steps) / 2);
  const panelsOf = variants.map((variant) => linesOfVariant(data, variant, radius));
  const { legend, height: foot } = legendOf(strokes(names), width);
  const titles = variants.map(({ name }) => drawnName(name));
  const columns = Math.min(3, variants.length);
  // As many as fit side by side, which is when titles have the least room.
  const beside = Math.max(1, Math.min(columns, Math.floor(width / leastPanelWidth)));
  const panels: PanelLayout = {
    ...margins,
    columns,
    leastWidth: leastPanelWidth,
    above: titlesHeight(titles, Math.floor(width / beside) - margins.left - margins.right) + titleGap,
    plotHeight: 220,
    below: 46,
    foot,
  };
  const axis = stepAxis(panelsOf.flatMap((lines) => lines.flatMap(({ points }) => points.map(({ step }) => step))));
  const option = {
    legend,
    title: panelTitles(titles),
    xAxis: variants.map((_, gridIndex) => ({ ...axis, gridIndex })),
    yAxis: variants.map((_, gridIndex) => ({
      ...vertical,
      ...verticalName,
      type: "value" as const,
      scale: true,
      name: "slowdown",
      gridIndex,
    })),
    axisPointer: { link: [{ xAxisIndex: "all" as const }] },
    tooltip: { trigger: "axis" as const },
    series: panelsOf.flatMap((lines, panel) => lines.flatMap((line) => lineSeries(line, panel, 0))),
  };
  return {
    id: "placement",
    title: "Slowdown by placement",
    reading: [
      "The largest load of a GPU relative to perfect balance on each step: with the experts in order, with the first placement " +
        "kept, with the placement in force, which is fitted again every interval, and at best. The bound is proven for any " +
        "placement, even one that knew the loads of the step. 1 is best.",
      ...(radius > 0 ? [`Lines are running means over ${2 * radius + 1} steps.`] : []),
      ...leftOutNotes(data),
    ].join(" "),
    finding: findingOf(variants),
    height: placePanels({ option, panels }, width).height,
    panels,
    option,
  };
}

function linesOfVariant(data: ReportData, variant: VariantData, radius: number): Line[] {
  return placementColumns.flatMap((column, position) => {
    const series = variant.series.map((one) => ({
      ...one,
      columns: { ...one.columns, [column]: runningMean(one.columns[column], radius) },
    }));
    const { lines } = linesOf({ ...data, variants: [{ ...variant, series }] }, column, placementColumns.length);
    return lines.map((line) => ({ ...line, name: names[position], position }));
  });
}

function findingOf(variants: readonly VariantData[]): string {
  const means = variants.map((variant) =>
    placementColumns.map(
      (column) =>
        mean(variant.series.flatMap(({ columns }) => columns[column].filter((value) => !Number.isNaN(value))))!,
    ),
  );
  const [unplaced, , placed, bound] = placementColumns.map((_, i) => mean(means, (each) => each[i])!);
  const whose = variants.length === 1 ? "" : ", mean over the variants shown";
  return (
    `Placing again brings the mean slowdown from ${inWords(unplaced)} to ${inWords(placed)}${whose}; no placement gets below ` +
    `${inWords(bound)}.`
  );
}

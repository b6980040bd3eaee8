import { max, min } from "d3-array";

/** What all axes share: muted labels and faint lines in the theme's colours, and a name that is no louder than they. */
const shared = {
  nameTextStyle: { color: "@mutedText" },
  axisLabel: { color: "@mutedText", hideOverlap: true },
  axisLine: { show: true, lineStyle: { color: "@gridLine" } },
  axisTick: { show: true, lineStyle: { color: "@gridLine" } },
  splitLine: { lineStyle: { color: "@gridLine" } },
  minorTick: { lineStyle: { color: "@gridLine" } },
};

/** The name of a horizontal axis stands below its middle. */
export const horizontal = {
  ...shared,
  nameLocation: "middle",
  nameGap: 28,
  splitLine: { ...shared.splitLine, show: false },
} as const;

/** The name of a vertical axis is written above it, so that it takes no width. */
export const vertical = {
  ...shared,
  nameLocation: "end",
  nameGap: 12,
  nameTextStyle: { ...shared.nameTextStyle, align: "left" },
} as const;

/** An axis of the steps, which ends with the first and the last of `steps`. */
export function stepAxis(steps: readonly number[]) {
  const [first, last] = [min(steps)!, max(steps)!];
  // An axis needs a length.
  const ends = first < last ? { min: first, max: last } : {};
  return { ...horizontal, type: "value", name: "step", minInterval: 1, ...ends } as const;
}

/** Lowest and highest of positive values this far apart are shown on a logarithmic axis. */
const logarithmicRatio = 30;

/** The axis for `values`: logarithmic where they are positive and so far apart that no other shows them all. */
export function axisTypeOf(values: readonly number[]): "log" | "value" {
  const lowest = min(values) ?? 0;
  return lowest > 0 && max(values)! >= logarithmicRatio * lowest ? "log" : "value";
}

/** Where a picture shows what the pointer is at: plain text in the theme's colours. */
export const tooltipStyle = {
  confine: true,
  backgroundColor: "@background",
  borderColor: "@gridLine",
  textStyle: { color: "@text", fontSize: 12 },
} as const;

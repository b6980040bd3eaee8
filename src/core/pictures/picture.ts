import type { EChartsOption } from "echarts";
import { type PanelLayout, placePanels } from "./parts/panels.ts";
import type { ReportData } from "./parts/report-data.ts";

/**
 * One picture of a report. It is plain data, so the same picture can be drawn interactively in the page, and without a
 * browser as SVG, PNG or PDF.
 */
export interface Picture {
  /** Names the picture's file and its place in the page, e.g. `max-vio`. */
  readonly id: string;
  readonly title: string;
  /** One or two sentences under the picture: how to read it. */
  readonly reading: string;
  /** One sentence with the main finding. Replaces the picture for readers who cannot see it. */
  readonly finding: string;
  /** Height in pixels at the width that the picture was made for. */
  readonly height: number;
  /** JSON: no functions. Colours are tokens of `theme.ts`. */
  readonly option: EChartsOption;
  /**
   * For lines not named after variants: the variants of each line, by their names in pictures. A line of a swept
   * parameter joins several.
   */
  readonly variantsOfLines?: readonly (readonly [line: string, variants: readonly string[]])[];
  /** Layout of its panels, if it has any. */
  readonly panels?: PanelLayout;
}

/** Draws one kind of picture `width` pixels wide, or returns null if the results have no data for it. */
export type PictureMaker = (data: ReportData, width: number) => Picture | null;

/** Default width of pictures in pixels. */
export const pictureWidth = 960;

/** Returns the option and the height in pixels of `picture` drawn `width` pixels wide. */
export function laidOut({ option, height, panels }: Picture, width: number): { option: EChartsOption; height: number } {
  return panels === undefined ? { option, height } : placePanels({ option, panels }, width);
}

/** Returns the height in pixels of a plot, `most` if there is room: no plot is much higher than wide. */
export function plotHeightOf(width: number, most: number): number {
  return Math.min(most, Math.max(180, Math.round(0.75 * width)));
}

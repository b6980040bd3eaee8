import type { EChartsOption } from "echarts";
import { type PanelLayout, placePanels } from "./parts/panels.ts";
import type { ReportData } from "./parts/report-data.ts";

/**
 * One picture of a report. It is plain data, so that the same picture is drawn in the page, where it answers to the
 * pointer, and without a browser as SVG, PNG or PDF.
 */
export interface Picture {
  /** Names the picture's file and its place in the page, e.g. `max-vio`. */
  readonly id: string;
  readonly title: string;
  /** One or two sentences under the picture: how to read it. */
  readonly reading: string;
  /** One sentence from the numbers: what it shows. Stands for the picture if it cannot be seen. */
  readonly finding: string;
  /** Pixels at the width that the picture was made for. */
  readonly height: number;
  /** JSON: no functions. Colours are the tokens of `theme.ts`. */
  readonly option: EChartsOption;
  /**
   * The variants, by the names that pictures write, that each line stands for, if lines are not named after variants: a
   * line of a swept parameter joins several.
   */
  readonly variantsOfLines?: readonly (readonly [line: string, variants: readonly string[]])[];
  /** How its panels are laid out, if it has any. */
  readonly panels?: PanelLayout;
}

/** Draws one kind of picture `width` pixels wide, or null if the results have nothing to show in it. */
export type PictureMaker = (data: ReportData, width: number) => Picture | null;

/** The width in pixels of pictures unless another is asked for. */
export const pictureWidth = 960;

/** The option and the height in pixels of `picture` when it is drawn `width` pixels wide. */
export function laidOut({ option, height, panels }: Picture, width: number): { option: EChartsOption; height: number } {
  return panels === undefined ? { option, height } : placePanels({ option, panels }, width);
}

/** The height in pixels of a plot that is `most` high if there is room: no plot is much higher than wide. */
export function plotHeightOf(width: number, most: number): number {
  return Math.min(most, Math.max(180, Math.round(0.75 * width)));
}

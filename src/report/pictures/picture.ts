import type { EChartsOption } from "echarts";
import type { ReportData } from "./report-data.ts";

/**
 * One picture of a report. It is plain data, so that the same picture is drawn in the page, where it answers to the
 * pointer, and without a browser as SVG or PNG.
 */
export interface Picture {
  /** Names the picture's file and its place in the page, e.g. `max-vio`. */
  readonly id: string;
  readonly title: string;
  /** One or two sentences under the picture: how to read it. */
  readonly reading: string;
  /** One sentence from the numbers: what it shows. Stands for the picture where it cannot be seen. */
  readonly finding: string;
  /** Pixels at a width of {@link pictureWidth}. */
  readonly height: number;
  /** JSON: no functions. Colours are the tokens of `theme.ts`. */
  readonly option: EChartsOption;
}

/** Draws one kind of picture, or null where the results have nothing to show in it. */
export type PictureMaker = (data: ReportData) => Picture | null;

/** The width in pixels for which pictures are laid out; pages scale them down to a phone's. */
export const pictureWidth = 960;

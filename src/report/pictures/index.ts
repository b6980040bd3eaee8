import { dualRegretPicture } from "./dual-regret.ts";
import { idlePicture } from "./idle.ts";
import { loadCurvesPicture } from "./load-curves.ts";
import { loadsPicture } from "./loads.ts";
import { maxVioPicture } from "./max-vio.ts";
import { paretoPicture } from "./pareto.ts";
import { type Picture, type PictureMaker, pictureWidth } from "./picture.ts";
import { rankSlowdownPicture } from "./rank-slowdown.ts";
import { regretPicture } from "./regret.ts";
import type { ReportData } from "./report-data.ts";
import { solverPicture } from "./solver.ts";
import { stepMetricPicture } from "./step-metric.ts";
import { sweepPicture } from "./sweep.ts";
import { taskLossPicture } from "./task-loss.ts";
import { taskLossBalancePicture } from "./task-loss-balance.ts";

/** Every kind of picture, in the order of the report. */
const pictureMakers: readonly PictureMaker[] = [
  maxVioPicture,
  taskLossPicture,
  loadsPicture,
  loadCurvesPicture,
  regretPicture,
  dualRegretPicture,
  idlePicture,
  paretoPicture,
  taskLossBalancePicture,
  rankSlowdownPicture,
  solverPicture,
  sweepPicture,
];

/**
 * The pictures that the results have something to show in, laid out for `width` pixels.
 *
 * @param metric the column of steps.csv that the first picture shows over the steps
 */
export function drawPictures(data: ReportData, width = pictureWidth, metric = "max_vio"): Picture[] {
  const makers = metric === "max_vio" ? pictureMakers : [stepMetricPicture(metric), ...pictureMakers.slice(1)];
  return makers.flatMap((draw) => draw(data, width) ?? []);
}

import { dualRegretPicture } from "./makers/dual-regret.ts";
import { idlePicture } from "./makers/idle.ts";
import { loadCurvesPicture } from "./makers/load-curves.ts";
import { loadsPicture } from "./makers/loads.ts";
import { maxVioPicture } from "./makers/max-vio.ts";
import { paretoPicture } from "./makers/pareto.ts";
import { rankSlowdownPicture } from "./makers/rank-slowdown.ts";
import { regretPicture } from "./makers/regret.ts";
import { solverPicture } from "./makers/solver.ts";
import { sweepPicture } from "./makers/sweep.ts";
import { taskLossPicture } from "./makers/task-loss.ts";
import { taskLossBalancePicture } from "./makers/task-loss-balance.ts";
import type { ReportData } from "./parts/report-data.ts";
import { stepMetricPicture } from "./parts/step-metric.ts";
import { type Picture, type PictureMaker, pictureWidth } from "./picture.ts";

/**
 * Every kind of picture, in the order in which one asks: what balance costs, how it goes over the steps, who does the work
 * and who none, what it loses, what it slows down, how the plans were found, and how training went.
 */
const pictureMakers: readonly PictureMaker[] = [
  paretoPicture,
  taskLossBalancePicture,
  sweepPicture,
  maxVioPicture,
  loadsPicture,
  loadCurvesPicture,
  idlePicture,
  regretPicture,
  dualRegretPicture,
  rankSlowdownPicture,
  solverPicture,
  taskLossPicture,
];

/**
 * The pictures that the results have something to show in, laid out for `width` pixels.
 *
 * @param metric the column of steps.csv that is shown over the steps in the place of MaxVio
 */
export function drawPictures(data: ReportData, width = pictureWidth, metric = "max_vio"): Picture[] {
  const ofMetric = metric === "max_vio" ? maxVioPicture : stepMetricPicture(metric);
  const makers = pictureMakers.map((maker) => (maker === maxVioPicture ? ofMetric : maker));
  return makers.flatMap((draw) => draw(data, width) ?? []);
}

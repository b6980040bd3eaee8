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

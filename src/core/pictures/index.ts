import { dualRegretPicture, regretPicture } from "./makers/cumulative-picture.ts";
import { placedGpuLoadsPicture } from "./makers/gpu-loads.ts";
import { layerGainPicture, layerLoadsPicture, layerMaxVioPicture } from "./makers/layers.ts";
import { loadCurvesPicture } from "./makers/load-curves.ts";
import { loadsPicture } from "./makers/loads.ts";
import { placementPicture } from "./makers/placement.ts";
import { paretoPicture, taskLossBalancePicture } from "./makers/points.ts";
import { rankSlowdownPicture } from "./makers/rank-slowdown.ts";
import { solverPicture } from "./makers/solver.ts";
import { idlePicture, maxVioPicture, stepMetricPicture, taskLossPicture } from "./makers/step-picture.ts";
import { sweepPicture } from "./makers/sweep.ts";
import type { ReportData } from "./parts/report-data.ts";
import { type Picture, type PictureMaker, pictureWidth } from "./picture.ts";

/**
 * Every kind of picture, in the order of a reader's questions: what balance costs, which layers lack it, how it evolves over the steps, which
 * experts work and which do not, what is lost, what slows down, how the plans were found, and how training went.
 */
const pictureMakers: readonly PictureMaker[] = [
  paretoPicture,
  taskLossBalancePicture,
  sweepPicture,
  layerMaxVioPicture,
  layerGainPicture,
  layerLoadsPicture,
  maxVioPicture,
  loadsPicture,
  loadCurvesPicture,
  idlePicture,
  regretPicture,
  dualRegretPicture,
  rankSlowdownPicture,
  placementPicture,
  placedGpuLoadsPicture,
  solverPicture,
  taskLossPicture,
];

/**
 * Returns the pictures that the results have data for, laid out for `width` pixels.
 *
 * @param metric the column of steps.csv to show over the steps instead of MaxVio
 */
export function drawPictures(data: ReportData, width = pictureWidth, metric = "max_vio"): Picture[] {
  const ofMetric = metric === "max_vio" ? maxVioPicture : stepMetricPicture(metric);
  const makers = pictureMakers.map((maker) => (maker === maxVioPicture ? ofMetric : maker));
  return makers.flatMap((draw) => draw(data, width) ?? []);
}

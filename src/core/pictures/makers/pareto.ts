import { paretoLine } from "../parts/pareto-line.ts";
import type { ReportData } from "../parts/report-data.ts";
import { type Picture, pictureWidth } from "../picture.ts";
import { pointNotes, pointsOf, pointsPicture } from "./points.ts";

/** Price of balance: each variant's mean regret against its mean MaxVio, with the Pareto front. */
export function paretoPicture(data: ReportData, width = pictureWidth): Picture | null {
  const points = pointsOf(data, "regret_mean", "max_vio_batch_mean");
  if (points.length < 2) return null;
  const { series, notes, finding } = paretoLine(points, { x: "regret", y: "MaxVio" });
  return {
    id: "pareto",
    title: "Regret against MaxVio",
    reading: ["Lower is better on both axes.", ...notes, ...pointNotes(points)].join(" "),
    finding,
    ...pointsPicture(points, { x: "regret, mean", y: "MaxVio of a batch, mean" }, series, width),
  };
}

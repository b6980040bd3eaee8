import { namedMetric, rangeSentence } from "../parts/findings.ts";
import type { ReportData } from "../parts/report-data.ts";
import { type Picture, pictureWidth } from "../picture.ts";
import { stepPicture } from "./step-picture.ts";

/** The share of experts without a token on each step, in percent, a line per variant. */
export function idlePicture(data: ReportData, width = pictureWidth): Picture | null {
  const drawn = stepPicture(data, width, { column: "idle_fraction", yName: "idle experts, %", least: 0, factor: 100 });
  if (drawn === null) return null;
  const { notes, ...picture } = drawn;
  const isNeverIdle = data.variants.every(({ series }) =>
    series.every(({ columns }) => columns.idle_fraction.every((value) => !(value > 0))),
  );
  return {
    id: "idle",
    title: "Idle experts over the steps",
    reading: [
      "The share of experts without a token on each step, in percent. An idle expert takes memory and learns nothing: 0 is best.",
      ...notes,
    ].join(" "),
    finding: isNeverIdle
      ? "No expert is idle on any step."
      : rangeSentence(
          "The share of idle experts, in percent, mean over the steps,",
          namedMetric(data, "idle_fraction_mean").map(({ name, value }) => ({ name, value: 100 * value })),
        ),
    ...picture,
  };
}

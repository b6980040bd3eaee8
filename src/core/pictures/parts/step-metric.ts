import { metrics } from "../../metrics/catalogue.ts";
import { stepPicture } from "../makers/step-picture.ts";
import type { Picture, PictureMaker } from "../picture.ts";
import { type NamedValue, rangeSentence } from "./findings.ts";
import type { ReportData } from "./report-data.ts";
import { capitalized, drawnName } from "./text.ts";

/** Draws the column `column` of steps.csv over the steps, a line per variant. */
export function stepMetricPicture(column: string): PictureMaker {
  const isSum = column.endsWith("_cumulative");
  const metric = metrics.find(({ id, step }) => id === column && step?.file === "steps");
  const label = metric?.label ?? column.replaceAll("_", " ");
  return (data, width): Picture | null => {
    const drawn = stepPicture(data, width, { column, yName: label, figure: isSum ? "last" : "mean" });
    if (drawn === null) return null;
    const { notes, ...picture } = drawn;
    return {
      id: column.replaceAll("_", "-"),
      title: `${capitalized(label)} over the steps`,
      reading:
        [...(metric === undefined ? [] : [`${capitalized(metric.definition)}.`]), ...notes].join(" ") ||
        "One line per router.",
      finding: rangeSentence(
        isSum ? `${capitalized(label)} on the last step` : `${capitalized(label)}, mean over the steps,`,
        figuresOf(data, column, isSum),
      ),
      ...picture,
    };
  };
}

/** For each variant with values: their mean over steps and seeds, or that of the last step. */
function figuresOf({ variants }: ReportData, column: string, ofLast: boolean): NamedValue[] {
  return variants.flatMap(({ name, series }) => {
    const values = series.flatMap(({ columns }) => {
      const known = columns[column].filter((value) => !Number.isNaN(value));
      return ofLast ? known.slice(-1) : known;
    });
    const sum = values.reduce((total, value) => total + value, 0);
    return values.length === 0 ? [] : [{ name: drawnName(name), value: sum / values.length }];
  });
}

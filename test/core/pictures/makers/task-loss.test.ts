import { describe, expect, it } from "vitest";
import { drawPictures } from "../../../../src/core/pictures/index.ts";
import { taskLossBalancePicture } from "../../../../src/core/pictures/makers/points.ts";
import { taskLossPicture } from "../../../../src/core/pictures/makers/step-picture.ts";
import { fallingAxis } from "../../../../src/core/pictures/parts/axes.ts";
import { readReportData } from "../../../../src/core/pictures/parts/report-data.ts";
import { openResults } from "../../../../src/node/files/read-results.ts";
import { type MadeTraining, trainedRun, trainedSweep } from "../../../support/trained-run.ts";
import { plainData, plainResults, plainSeries } from "../parts/plain-results.ts";
import { dataOfRun, smallScenario } from "../parts/small-runs.ts";

async function dataOf(training: Partial<MadeTraining> = {}) {
  return readReportData(openResults(await trainedRun(training)));
}

interface Drawn {
  readonly name: string;
  readonly lineStyle?: { readonly opacity?: number };
  readonly xAxisIndex?: number;
  readonly areaStyle?: object;
  readonly data: [number, number][];
}

function seriesOf(picture: { option: object } | null): Drawn[] {
  return (picture!.option as { series: Drawn[] }).series;
}

describe("the picture of the task loss", () => {
  it("has a smoothed line for each router, and its steps faintly behind", async () => {
    const data = await dataOf({ steps: 90 });
    const picture = taskLossPicture(data);
    const series = seriesOf(picture);
    const isFaint = ({ lineStyle }: Drawn) => lineStyle?.opacity !== undefined;
    const [lines, noise] = [series.filter((one) => !isFaint(one)), series.filter(isFaint)];
    expect(lines.map(({ name }) => name)).toEqual(["topk", "alf-lb", "sinkhorn"]);
    expect(noise.map(({ name }) => name)).toEqual(["topk", "alf-lb", "sinkhorn"]);
    const loss = data.variants[0].series[0].columns.task_loss;
    expect(noise[0].data[45][1]).toBeCloseTo(loss[45], 4);
    // A thirtieth of the steps: one on either side, rounded up.
    const around = (loss[43] + loss[44] + loss[45] + loss[46] + loss[47]) / 5;
    expect(lines[0].data[45][1]).toBeCloseTo(around, 4);
    expect(picture!.reading).toContain("running means over 5 steps");
  });

  it("has the means over the seeds and their bands instead, where there are several", async () => {
    const data = await readReportData(openResults(await trainedSweep()));
    const series = seriesOf(taskLossPicture(data));
    expect(series.filter(({ areaStyle }) => areaStyle !== undefined)).toHaveLength(4);
    expect(taskLossPicture(data)!.reading).not.toContain("faint");
  });

  it("is of the very steps where they are few", () => {
    const results = plainResults([{ router: "a", kind: "topk", task_loss: 2 }]);
    const data = plainData(results, () => [plainSeries("task_loss", [4, 3, 1])]);
    const picture = taskLossPicture(data);
    expect(seriesOf(picture).map(({ data: points }) => points.map(([, value]) => value))).toEqual([[4, 3, 1]]);
    expect(picture!.reading).not.toMatch(/running|faint/);
  });

  it("has a plot of its own for each of many lines, which would hide each other in one", async () => {
    const routers = Array.from({ length: 7 }, (_, i) => ({ router: `r${i}`, loss: 0.1 * (i + 1), skew: 0.1 }));
    const picture = taskLossPicture(await dataOf({ steps: 90, routers }));
    for (const { name, xAxisIndex } of seriesOf(picture)) expect(`r${xAxisIndex}`).toBe(name);
    expect(seriesOf(picture)).toHaveLength(14);
    const axes = picture!.option.yAxis as { min: number; max: number }[];
    expect(axes).toHaveLength(7);
    expect(new Set(axes.map(({ min, max }) => `${min} ${max}`)).size).toBe(1);
  });
});

describe("the axis of what falls", () => {
  it("ends with 1, 2 or 5 of a decade and is marked with those between", () => {
    expect(fallingAxis([1.24, 0.025])).toMatchObject({
      type: "log",
      min: 0.02,
      max: 2,
      axisLabel: { customValues: [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2] },
    });
    expect(fallingAxis([0.001, 10])).toMatchObject({ min: 0.001, max: 10 });
  });

  it("is of whole decades where those would be too many marks", () => {
    expect(fallingAxis([3e-7, 2])).toEqual({ type: "log", min: 1e-7, max: 10 });
  });

  it("is linear where the values fall little, or to 0", () => {
    expect(fallingAxis([2, 0.75])).toEqual({ type: "value" });
    expect(fallingAxis([2, 0])).toEqual({ type: "value" });
  });
});

describe("the picture of task loss against MaxVio", () => {
  it("has a point for each router and names the Pareto front", async () => {
    const picture = taskLossBalancePicture(await dataOf());
    expect(picture!.finding).toMatch(
      /^2 of 3 are on the Pareto front: sinkhorn \(MaxVio .*, task loss .*\) and alf-lb/,
    );
  });

  it("is of held-back data where there are two points of them, and says so", () => {
    const row = (router: string, evalLoss?: number) => ({
      router,
      kind: "topk",
      max_vio_batch_mean: 1,
      task_loss: 5,
      ...(evalLoss !== undefined && { eval_loss: evalLoss, eval_max_vio: 2 * evalLoss }),
    });
    const pictureOf = (...rows: ReturnType<typeof row>[]) =>
      taskLossBalancePicture(plainData(plainResults(rows), () => []))!;
    const evaluated = pictureOf(row("a", 0.25), row("b", 0.75));
    expect(evaluated.reading).toContain("of held-back data after the last step");
    expect(JSON.stringify(evaluated.option)).toContain("task loss on held-back data");
    expect(evaluated.finding).toContain("a (MaxVio 0.5, task loss 0.25)");
    const plain = pictureOf(row("a", 0.25), row("b"));
    expect(plain.reading).toContain("over the last deadWindow steps");
    expect(JSON.stringify(plain.option)).not.toContain("held-back");
  });

  it("has crosses where there are seeds", async () => {
    const data = await readReportData(openResults(await trainedSweep()));
    expect(taskLossBalancePicture(data)!.reading).toContain("crosses their 95 % confidence intervals");
  });
});

it("shows nothing of training where nothing trains", async () => {
  const pictures = drawPictures(
    await dataOfRun({ ...smallScenario, steps: 2, routers: smallScenario.routers.slice(0, 2) }),
  );
  expect(pictures.filter(({ id }) => id.startsWith("task-loss"))).toEqual([]);
});

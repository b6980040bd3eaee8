import { expect, it } from "vitest";
import { placementPicture } from "../../../../src/core/pictures/makers/placement.ts";
import { dataOfRun, smallScenario } from "../parts/small-runs.ts";

const scenario = { ...smallScenario, steps: 12, routers: [{ kind: "topk" }, { kind: "alf-lb" }] };
const placement = { gpus: 2, slots: 10, interval: 4, window: 4 };

it("draws the four slowdowns of each router in a plot of its own", async () => {
  const data = await dataOfRun({ ...scenario, placement });
  const { option, finding } = placementPicture(data)!;
  const series = option.series as { name: string; xAxisIndex: number; data: [number, number][] }[];
  const names = ["no placement", "first placement, kept", "placed again", "best for the step, bound"];
  expect(series.map(({ name, xAxisIndex }) => [xAxisIndex, name])).toEqual(
    [0, 1].flatMap((panel) => names.map((name) => [panel, name])),
  );
  const [{ columns }] = data.variants[1].series;
  const drawn = (at: number) => series[4 + at].data.map(([, value]) => value);
  for (const [at, column] of ["unplaced_step_time", "stale_step_time", "step_time", "step_time_bound"].entries()) {
    expect(drawn(at)).toHaveLength(12);
    drawn(at).forEach((value, step) => {
      expect(value, column).toBeCloseTo(columns[column][step], 2);
    });
  }
  expect(finding).toMatch(
    /^Placing again brings the mean slowdown from [\d.]+ to [\d.]+, mean over the variants shown;/,
  );
});

it("is not drawn for scenarios that place nothing", async () => {
  expect(placementPicture(await dataOfRun(scenario))).toBeNull();
});

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

it("leaves room for titles of several lines, so that long names stay above the plots", async () => {
  const long = "plain top-k without any balancing at all, as a reference for all the others";
  const heights = await Promise.all(
    ["topk", long].map(async (label) => {
      const routers = [{ kind: "topk", label }, { kind: "alf-lb" }, { kind: "quantile" }];
      const { panels, height } = placementPicture(await dataOfRun({ ...scenario, routers, placement }), 960)!;
      return { above: panels!.above, height };
    }),
  );
  // Three lines of 14 pixels: at a width of 960, three plots are 234 pixels wide each.
  expect(heights[1].above - heights[0].above).toBe(28);
  expect(heights[1].height - heights[0].height).toBe(28);
});

it("is not drawn for scenarios that place nothing", async () => {
  expect(placementPicture(await dataOfRun(scenario))).toBeNull();
});

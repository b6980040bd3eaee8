import { describe, expect, it } from "vitest";
import { drawPictures } from "../../../../src/core/pictures/index.ts";
import { placePanels } from "../../../../src/core/pictures/parts/panels.ts";
import { laidOut, type Picture } from "../../../../src/core/pictures/picture.ts";
import { dataOfRun, smallScenario } from "./small-runs.ts";

const data = await dataOfRun({ ...smallScenario, steps: 60, regret: { every: 0 } });
const pictures = drawPictures(data);

function pictureOf(id: string): Picture {
  return pictures.find((picture) => picture.id === id)!;
}

interface Grid {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

describe("panels", () => {
  it.each([960, 640, 360, 300])(
    "are within a picture %i pixels wide and cover neither each other nor what is below",
    (width) => {
      for (const id of ["max-vio", "loads", "idle"]) {
        const { option, height } = laidOut(pictureOf(id), width);
        const grids = option.grid as Grid[];
        expect(grids).toHaveLength(smallScenario.routers.length);
        for (const [i, { left, top, width: plot, height: high }] of grids.entries()) {
          expect(left + plot).toBeLessThanOrEqual(width);
          expect(top + high).toBeLessThan(height);
          for (const other of grids.slice(i + 1)) {
            expect(other.left >= left + plot || other.top >= top + high).toBe(true);
          }
        }
      }
    },
  );

  it("are one below the other on a phone, where colour scales are, too", () => {
    const { option } = laidOut(pictureOf("loads"), 340);
    expect(new Set((option.grid as Grid[]).map(({ left }) => left)).size).toBe(1);
    const [scale, idle] = option.visualMap as { left: number; bottom: number }[];
    expect([scale.left, idle.left]).toEqual([10, 10]);
    expect(scale.bottom - idle.bottom).toBeGreaterThan(14);
  });

  it("of a heat map are whole pixels a cell wide if there is room", () => {
    const layout = { ...pictureOf("loads").panels!, cells: [{ across: 100, height: 128 }], columns: 1 };
    const widthOf = (width: number) =>
      (placePanels({ option: { xAxis: [{}] }, panels: layout }, width).option.grid as Grid[])[0].width;
    expect(widthOf(layout.left + layout.right + 250)).toBe(200);
    expect(widthOf(layout.left + layout.right + 90)).toBe(90);
  });
});

describe("a router that solves on some steps", () => {
  const series = pictureOf("max-vio").option.series as { name: string; type: string; data: [number, number][] }[];
  const stepsOf = (name: string, type: string) =>
    Array.from(
      new Set(
        series
          .filter((one) => one.name === name && one.type === type)
          .flatMap(({ data }) => data.map(([step]) => step)),
      ),
    ).sort((a, b) => a - b);
  const all = Array.from({ length: 60 }, (_, step) => step);

  it("has dots on those, with their values, and its line on the others", () => {
    expect(stepsOf("ssr", "scatter")).toEqual(all.filter((step) => step % 2 === 0));
    expect(stepsOf("ssr", "line")).toEqual(all.filter((step) => step % 2 === 1));
    const recorded = data.variants.find(({ name }) => name === "ssr")!.series[0].columns.max_vio;
    const dots = series.find(({ name, type }) => name === "ssr" && type === "scatter")!;
    for (const [step, value] of dots.data) expect(value).toBeCloseTo(recorded[step], 3);
  });

  it("is the only one that has", () => {
    expect(stepsOf("topk", "scatter")).toEqual([]);
    expect(stepsOf("topk", "line")).toEqual(all);
    expect(pictureOf("max-vio").reading).toContain("dots are those steps");
  });
});

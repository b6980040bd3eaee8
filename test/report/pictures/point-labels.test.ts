import { describe, expect, it } from "vitest";
import { metricAxis, placesOnAxis } from "../../../src/report/pictures/axes.ts";
import { pointLabels } from "../../../src/report/pictures/point-labels.ts";

const width = 800;

describe("labels of points", () => {
  it("stand towards the middle of the plot", () => {
    const points = [
      { name: "a", x: 0, y: 100 },
      { name: "b", x: width, y: 300 },
    ];
    expect(pointLabels(points, width)).toEqual([
      { text: "a", position: "right" },
      { text: "b", position: "left" },
    ]);
  });

  it("are one for points that coincide, with the names of all", () => {
    const at = (name: string, x: number, y = 100) => ({ name, x, y });
    expect(pointLabels([at("a", 50), at("far", 500), at("b", 55, 95), at("c", 50)], width)).toEqual([
      { text: "a, b and c", position: "right" },
      { text: "far", position: "left" },
      null,
      null,
    ]);
    const many = Array.from({ length: 6 }, (_, i) => at(`r${i}`, 50));
    expect(pointLabels(many, width)[0]!.text).toBe("r0, r1 and 4 more");
    const long = [1, 2].map((i) => at(`a name of some length ${i}`, 50));
    expect(pointLabels(long, width)[0]!.text).toBe("a name of some length 1 and 1 more");
  });

  it("stand on the other side of a point where they would cover another or its label", () => {
    const points = [
      { name: "long enough to reach", x: 200, y: 100 },
      { name: "b", x: 240, y: 92 },
    ];
    expect(pointLabels(points, width).map((label) => label?.position)).toEqual(["left", "right"]);
    expect(pointLabels([points[0]], width)[0]!.position).toBe("right");
  });

  it("stand above where both sides are taken", () => {
    const points = [
      { name: "too long for the left", x: 60, y: 100 },
      { name: "b", x: 100, y: 92 },
    ];
    expect(pointLabels(points, width)[0]!.position).toBe("top");
  });

  it("stay in the plot, though they cover what is beside them", () => {
    const points = [
      { name: "far too long to stand to the left", x: 20, y: 100 },
      { name: "b", x: 60, y: 92 },
    ];
    expect(pointLabels(points, width)[0]!.position).toBe("right");
  });
});

describe("places on an axis", () => {
  it("are those of the axis as it is drawn", () => {
    expect(metricAxis([0, 4, 8])).toEqual({ type: "value", scale: false });
    expect(placesOnAxis([0, 4, 8])).toEqual([0, 0.5, 1]);
    // Up to the next round number.
    expect(placesOnAxis([0, 0.06, 0.1006])).toEqual([0, 0.5, expect.closeTo(0.838, 3)]);
    expect(metricAxis([6, 7, 8])).toEqual({ type: "value", scale: true });
    expect(placesOnAxis([6, 7, 8])).toEqual([0, 0.5, 1]);
    // Decades from 0.01 to 100.
    expect(placesOnAxis([0.01, 0.1, 1, 100]).map((place) => place.toFixed(9))).toEqual(
      [0, 0.25, 0.5, 1].map((place) => place.toFixed(9)),
    );
    expect(placesOnAxis([0, 0])).toEqual([0, 0]);
  });
});

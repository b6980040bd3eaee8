import { describe, expect, it } from "vitest";
import { metricAxis, placesOnAxis } from "../../../../src/core/pictures/parts/axes.ts";
import { pointLabels } from "../../../../src/core/pictures/parts/point-labels.ts";
import { textWidth } from "../../../../src/core/pictures/parts/text.ts";

const width = 800;
const height = 340;
/** Beside its point, a little raised. */
const near = { shift: -8, isFar: false };

describe("labels of points", () => {
  it("stand towards the middle of the plot", () => {
    const points = [
      { name: "a", x: 0, y: 100 },
      { name: "b", x: width, y: 300 },
    ];
    expect(pointLabels(points, width, height)).toEqual([
      { text: "a", position: "right", ...near },
      { text: "b", position: "left", ...near },
    ]);
  });

  it("are one for points that coincide, with the names of all", () => {
    const at = (name: string, x: number, y = 100) => ({ name, x, y });
    expect(pointLabels([at("a", 50), at("far", 500), at("b", 55, 95), at("c", 50)], width, height)).toEqual([
      { text: "a, b and c", position: "right", ...near },
      { text: "far", position: "left", ...near },
      null,
      null,
    ]);
    const many = Array.from({ length: 6 }, (_, i) => at(`r${i}`, 50));
    expect(pointLabels(many, width, height)[0]!.text).toBe("r0, r1 and 4 more");
    const long = [1, 2].map((i) => at(`a name of some length ${i}`, 50));
    expect(pointLabels(long, width, height)[0]!.text).toBe("a name of some length 1 and 1 more");
  });

  it("stand on the other side of a point where they would cover another or its label", () => {
    const points = [
      { name: "long enough to reach", x: 200, y: 100 },
      { name: "b", x: 240, y: 92 },
    ];
    expect(pointLabels(points, width, height).map((label) => label?.position)).toEqual(["left", "right"]);
    expect(pointLabels([points[0]], width, height)[0]!.position).toBe("right");
  });

  it("stand above where both sides are taken", () => {
    const points = [
      { name: "too long for the left", x: 60, y: 100 },
      { name: "b", x: 100, y: 92 },
    ];
    expect(pointLabels(points, width, height)[0]!.position).toBe("top");
  });

  it("stand farther away, joined by a line, if all places at the point are taken, and are never left out", () => {
    const points = [
      { name: "far too long to stand to the left", x: 20, y: 100 },
      { name: "b", x: 60, y: 92 },
    ];
    const [label, other] = pointLabels(points, width, height);
    expect(label).toMatchObject({ text: points[0].name, position: "right", isFar: true });
    expect(Math.abs(label!.shift)).toBeGreaterThan(14);
    expect(other).toMatchObject({ text: "b", isFar: false });
  });

  it("all stand in the plot and cover neither each other nor a point, in a crowd", () => {
    const crowd = Array.from({ length: 12 }, (_, i) => ({
      name: `router ${i}`,
      x: 30 + 18 * (i % 4),
      y: 330 - 18 * Math.floor(i / 4),
    }));
    const boxes = pointLabels(crowd, width, height).map((label, i) => {
      const { position, shift, text } = label!;
      const half = textWidth(text, 11) / 2;
      const x = crowd[i].x + { left: -11 - half, right: 11 + half, top: 0, bottom: 0 }[position];
      const y = crowd[i].y + shift + { left: 0, right: 0, top: -18, bottom: 18 }[position];
      return { left: x - half, right: x + half, top: y - 7, bottom: y + 7 };
    });
    for (const [i, box] of boxes.entries()) {
      expect(box.bottom).toBeLessThanOrEqual(height);
      for (const other of boxes.slice(i + 1)) {
        const isApart =
          box.right <= other.left || other.right <= box.left || box.bottom <= other.top || other.bottom <= box.top;
        expect(isApart).toBe(true);
      }
    }
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

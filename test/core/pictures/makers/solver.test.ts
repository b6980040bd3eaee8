import { expect, it } from "vitest";
import { solverPicture } from "../../../../src/core/pictures/makers/solver.ts";
import type { Picture } from "../../../../src/core/pictures/picture.ts";
import { plainData, plainResults } from "../parts/plain-results.ts";

/** The picture of plain top-k beside routers that ran a solver on `steps` of the steps and came to `maxVio`. */
function pictureOf(topkMaxVio: number, solvers: readonly { kind: string; steps: number; maxVio: number }[]): Picture {
  const rows = [
    { router: "topk", kind: "topk", max_vio_batch_mean: topkMaxVio, sinkhorn_steps: "" },
    ...solvers.map(({ kind, steps, maxVio }) => ({
      router: kind,
      kind,
      max_vio_batch_mean: maxVio,
      sinkhorn_steps: steps,
    })),
  ];
  return solverPicture(plainData(plainResults(rows)))!;
}

/** The side on which the name of each point stands. */
function sidesOf(picture: Picture): Record<string, string> {
  const { series } = picture.option as { series: { name: string; type: string; label: { position: string } }[] };
  const points = series.filter(({ type }) => type === "scatter");
  return Object.fromEntries(points.map(({ name, label }) => [name, label.position]));
}

it("names solvers that ran on every step on the left, since they are at the right end of the axis", () => {
  expect(sidesOf(pictureOf(2, [{ kind: "sinkhorn", steps: 100, maxVio: 0.5 }]))).toEqual({ sinkhorn: "left" });
  const both = pictureOf(2, [
    { kind: "sinkhorn", steps: 100, maxVio: 0.5 },
    { kind: "scot", steps: 100, maxVio: 0.1 },
  ]);
  expect(sidesOf(both)).toEqual({ sinkhorn: "left", scot: "left" });
});

it("has the line of plain top-k on an axis that the solvers alone would end below it", () => {
  const { yAxis } = pictureOf(3, [
    { kind: "ssr", steps: 10, maxVio: 0.5 },
    { kind: "sinkhorn", steps: 100, maxVio: 0.01 },
  ]).option as { yAxis: { type: string; min: number; max: number } };
  expect(yAxis).toMatchObject({ type: "log", min: 0.01, max: 10 });
});

it("says who is most balanced of those that solve, and that steps are steps with a solver", () => {
  const [once, twice] = [1, 2].map((steps) => pictureOf(2, [{ kind: "ssr", steps, maxVio: 0.5 }]).finding);
  expect(once).toBe("ssr has MaxVio 0.5 with a solver on 1 step, against 2 with plain top-k.");
  expect(twice).toBe("ssr has MaxVio 0.5 with a solver on 2 steps, against 2 with plain top-k.");
  const several = pictureOf(0.25, [
    { kind: "ssr", steps: 10, maxVio: 1 },
    { kind: "sinkhorn", steps: 100, maxVio: 0.5 },
  ]);
  expect(several.finding).toBe(
    "Among the routers with a solver, sinkhorn is most balanced: MaxVio 0.5 with a solver on 100 steps, against 0.25 with plain top-k.",
  );
});

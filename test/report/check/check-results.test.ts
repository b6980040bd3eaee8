import { writeFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import type { Difference } from "../../../src/report/check/check-result.ts";
import { checkResults } from "../../../src/report/check/check-results.ts";
import { parseTolerances } from "../../../src/report/check/tolerances.ts";
import { type Rows, resultFolder, summaryRows } from "../../support/result-folder.ts";

const tolerances = parseTolerances(1e-6, []);
const summary = summaryRows([
  ["a", 0, "0.5"],
  ["b", 0, "0.25"],
]);
const stepHeader = ["scenario", "router", "seed", "step", "max_vio", "score"];

/** What differs between two folders, without the figures. */
async function differencesOf(now: Record<string, Rows>, baseline: Record<string, Rows>) {
  const { parts } = await checkResults(resultFolder(now), resultFolder(baseline), tolerances);
  const place = ({ kind, file, router, row, column }: Difference) => ({ kind, file, router, row, column });
  return parts.flatMap(({ worst }) => worst).map(place);
}

/** Rows of steps.csv for some routers and steps, with numbers of any size. */
const stepRows = fc
  .tuple(fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 4 }), fc.integer({ min: 1, max: 6 }))
  .chain(([routers, steps]) => {
    const cell = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 }).map(String);
    const places = routers.flatMap((router) =>
      Array.from({ length: steps }, (_, step) => ["s", router, "0", `${step}`]),
    );
    return fc
      .array(fc.tuple(cell, cell), { minLength: places.length, maxLength: places.length })
      .map((cells) => places.map((place, row) => [...place, ...cells[row]]));
  });

describe("a check of results against a baseline", () => {
  it("agrees with a copy, and counts the cells that are no keys", async () => {
    const [now, baseline] = [resultFolder({ "summary.csv": summary }), resultFolder({ "summary.csv": summary })];
    // Two rows, each with its kind, steps, experts, max_vio_global and score.
    expect(await checkResults(now, baseline, tolerances)).toMatchObject({ equal: true, cells: 10, differing: 0 });
  });

  it("agrees with the same rows in any order", async () => {
    await fc.assert(
      fc.asyncProperty(
        stepRows.chain((rows) => fc.tuple(fc.constant(rows), fc.shuffledSubarray(rows, { minLength: rows.length }))),
        async ([rows, shuffled]) => {
          const now = resultFolder({ "summary.csv": summary, "steps.csv": [stepHeader, ...shuffled] });
          const baseline = resultFolder({ "summary.csv": summary, "steps.csv": [stepHeader, ...rows] });
          const { equal, cells } = await checkResults(now, baseline, tolerances);
          expect(equal).toBe(true);
          expect(cells).toBe(10 + 2 * rows.length);
        },
      ),
      { seed: 2, numRuns: 40 },
    );
  });

  it("finds and names any single number that is off by more than the tolerance", async () => {
    await fc.assert(
      fc.asyncProperty(
        stepRows.chain((rows) => fc.tuple(fc.constant(rows), fc.nat(rows.length - 1), fc.integer({ min: 4, max: 5 }))),
        async ([rows, row, column]) => {
          const value = Number(rows[row][column]);
          const changed = rows.map((cells) => Array.from(cells));
          // Three times what is allowed.
          changed[row][column] = String(value + 3e-6 * Math.max(1, Math.abs(value)));
          expect(
            await differencesOf(
              { "summary.csv": summary, "steps.csv": [stepHeader, ...changed] },
              { "summary.csv": summary, "steps.csv": [stepHeader, ...rows] },
            ),
          ).toEqual([
            {
              kind: "cell",
              file: "steps.csv",
              router: rows[row][1],
              row: { scenario: "s", seed: "0", step: rows[row][3] },
              column: stepHeader[column],
            },
          ]);
        },
      ),
      { seed: 3, numRuns: 40 },
    );
  });

  it("finds rows that are missing and rows that the baseline lacks, and compares those behind them", async () => {
    const rows = ["a", "b", "c"].flatMap((router) => ["0", "1"].map((step) => ["s", router, "0", step, "0.5", "1"]));
    const now = [...rows.filter(([, router]) => router !== "b"), ["s", "d", "0", "0", "0.5", "1"]];
    now[3] = ["s", "c", "0", "1", "0.75", "1"];
    expect(
      await differencesOf(
        { "summary.csv": summary, "steps.csv": [stepHeader, ...now] },
        { "summary.csv": summary, "steps.csv": [stepHeader, ...rows] },
      ),
    ).toMatchObject([
      { kind: "cell", router: "c", row: { step: "1" }, column: "max_vio" },
      { kind: "missing row", router: "b", row: { step: "0" } },
      { kind: "missing row", router: "b", row: { step: "1" } },
      { kind: "extra row", router: "d", row: { step: "0" } },
    ]);
  });

  it("tells rows of a sweep apart by the swept parameters, and goes through its cells", async () => {
    const rows: [string, number, string, string][] = [
      ["a", 0, "0.5", "1"],
      ["a", 0, "0.25", "2"],
    ];
    const cell = (step: string) => [stepHeader, ["s", "a", "0", "0", step, "1"]];
    const baseline = {
      "summary.csv": summaryRows(rows, ["topK"]),
      "cells/0/steps.csv": cell("0.5"),
      "cells/10/steps.csv": cell("0.5"),
    };
    const now = { ...baseline, "summary.csv": summaryRows(rows.toReversed(), ["topK"]) };
    expect(await differencesOf(now, baseline)).toEqual([]);
    expect(await differencesOf({ ...now, "cells/10/steps.csv": cell("0.75") }, baseline)).toMatchObject([
      { kind: "cell", file: "cells/10/steps.csv", column: "max_vio" },
    ]);
  });

  it("finds a file and a column that are missing, and only notes a column that the baseline lacks", async () => {
    const steps = [stepHeader, ["s", "a", "0", "0", "0.5", "1"]];
    const narrow = steps.map((row) => row.toSpliced(4, 1));
    const both = { "summary.csv": summary, "steps.csv": steps };
    expect(await differencesOf({ "summary.csv": summary }, both)).toMatchObject([
      { kind: "missing file", file: "steps.csv" },
    ]);
    expect(await differencesOf({ "summary.csv": summary, "steps.csv": narrow }, both)).toMatchObject([
      { kind: "missing column", file: "steps.csv", column: "max_vio" },
    ]);
    const wider = await checkResults(
      resultFolder(both),
      resultFolder({ "summary.csv": summary, "steps.csv": narrow }),
      tolerances,
    );
    expect(wider).toMatchObject({
      equal: true,
      notes: ["steps.csv: not in the baseline, and not compared: max_vio"],
    });
  });

  it("compares neither timing.csv nor files that the baseline lacks", async () => {
    const now = { "summary.csv": summary, "timing.csv": [["router"], ["a"]], "steps.csv": [stepHeader] };
    expect(await differencesOf(now, { "summary.csv": summary, "timing.csv": [["router"], ["b"]] })).toEqual([]);
  });

  it("keeps the worst of very many, and counts them all", async () => {
    const rows = (shift: number) =>
      Array.from({ length: 500 }, (_, step) => ["s", "a", "0", `${step}`, `${step * shift}`, "1"]);
    const now = resultFolder({ "summary.csv": summary, "steps.csv": [stepHeader, ...rows(0.001)] });
    const baseline = resultFolder({ "summary.csv": summary, "steps.csv": [stepHeader, ...rows(0)] });
    const { differing, parts } = await checkResults(now, baseline, tolerances);
    // All but step 0, whose number is 0 in both.
    expect(differing).toBe(499);
    const { worst, differing: byColumn } = parts.at(-1)!;
    expect(byColumn.get("max_vio")).toBe(499);
    expect(worst.map(({ row }) => Number(row.step))).toEqual(Array.from({ length: 100 }, (_, i) => 499 - i));
  });

  it("refuses to agree where it compares nothing, as two files that end below their headers", async () => {
    const [now, baseline] = [summary, summary].map(([header]) => resultFolder({ "summary.csv": [header] }));
    await expect(checkResults(now, baseline, tolerances)).rejects.toThrow(/there is nothing to compare/);
    await expect(checkResults(now, baseline, tolerances)).rejects.toThrow(InputError);
  });

  it.each([
    ["a row that is too short", "scenario,router,seed,step\ns,a,0\n", /steps\.csv: cannot be read as CSV/],
    ["an open quote", 'scenario,router,seed,step\ns,"a,0,0\n', /steps\.csv: cannot be read as CSV/],
    ["no router", "scenario,seed,step\n", /steps\.csv: has no column router/],
    ["nothing", "", /steps\.csv: has no column/],
    ["a column twice", "scenario,router,seed,step,a,a\n", /two columns named "a"/],
  ])("refuses a file with %s", async (_, text, message) => {
    const [now, baseline] = [summary, summary].map((rows) =>
      resultFolder({ "summary.csv": rows, "steps.csv": [stepHeader] }),
    );
    writeFileSync(`${now}/steps.csv`, text);
    const error = await checkResults(now, baseline, tolerances).catch((reason: Error) => reason);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(message);
  });
});

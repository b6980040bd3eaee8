import { writeFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { type CheckRules, checkResults, compareCell } from "../../../src/node/check/check-results.ts";
import { countsOf, type Finding, worstOf } from "../../../src/node/check/findings.ts";
import { parseTolerance, parseTolerances } from "../../../src/node/check/tolerances.ts";
import { type Rows, resultFolder, summaryRows } from "../../support/result-folder.ts";

const rulesOf = (failOn: CheckRules["failOn"], overall = "1e-6", metrics: string[] = []): CheckRules => {
  return { failOn, tolerances: parseTolerances(overall, metrics), isStrict: false, gate: null };
};
const different = rulesOf("different");
const summary = summaryRows([
  ["a", 0, "0.5"],
  ["b", 0, "0.25"],
]);
const stepHeader = ["scenario", "router", "seed", "step", "max_vio", "score"];

/** What differs between two folders, without the figures. */
async function differencesOf(now: Record<string, Rows>, baseline: Record<string, Rows>) {
  const { parts } = await checkResults(resultFolder(now), resultFolder(baseline), different);
  const place = ({ kind, file, router, row, column }: Finding) => ({ kind, file, router, row, column });
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

describe("a check of results for any difference from a baseline", () => {
  it("agrees with a copy, and counts the cells that are no keys", async () => {
    const [now, baseline] = [resultFolder({ "summary.csv": summary }), resultFolder({ "summary.csv": summary })];
    // Two rows, each with its kind, steps, experts, max_vio_global and score.
    const { passed, parts } = await checkResults(now, baseline, different);
    expect(passed).toBe(true);
    expect(countsOf(parts)).toEqual(new Map([["same", 10]]));
  });

  it("agrees with the same rows in any order", async () => {
    await fc.assert(
      fc.asyncProperty(
        stepRows.chain((rows) => fc.tuple(fc.constant(rows), fc.shuffledSubarray(rows, { minLength: rows.length }))),
        async ([rows, shuffled]) => {
          const now = resultFolder({ "summary.csv": summary, "steps.csv": [stepHeader, ...shuffled] });
          const baseline = resultFolder({ "summary.csv": summary, "steps.csv": [stepHeader, ...rows] });
          const { passed, parts } = await checkResults(now, baseline, different);
          expect(passed).toBe(true);
          expect(countsOf(parts)).toEqual(new Map([["same", 10 + 2 * rows.length]]));
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
          // Three times what is allowed: 1e-6, or rounding.
          changed[row][column] = String(value + 3 * Math.max(1e-6, 1e-9 * Math.abs(value)));
          expect(
            await differencesOf(
              { "summary.csv": summary, "steps.csv": [stepHeader, ...changed] },
              { "summary.csv": summary, "steps.csv": [stepHeader, ...rows] },
            ),
          ).toEqual([
            {
              kind: "value",
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
      { kind: "value", router: "c", row: { step: "1" }, column: "max_vio" },
      { kind: "row", router: "b", row: { step: "0" } },
      { kind: "row", router: "b", row: { step: "1" } },
      { kind: "row", router: "d", row: { step: "0" } },
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
      { kind: "value", file: "cells/10/steps.csv", column: "max_vio" },
    ]);
  });

  it("finds a file and a column that are missing, and only notes a column that the baseline lacks", async () => {
    const steps = [stepHeader, ["s", "a", "0", "0", "0.5", "1"]];
    const narrow = steps.map((row) => row.toSpliced(4, 1));
    const both = { "summary.csv": summary, "steps.csv": steps };
    expect(await differencesOf({ "summary.csv": summary }, both)).toMatchObject([{ kind: "file", file: "steps.csv" }]);
    expect(await differencesOf({ "summary.csv": summary, "steps.csv": narrow }, both)).toMatchObject([
      { kind: "column", file: "steps.csv", column: "max_vio" },
    ]);
    const wider = await checkResults(
      resultFolder(both),
      resultFolder({ "summary.csv": summary, "steps.csv": narrow }),
      different,
    );
    expect(wider).toMatchObject({
      passed: true,
      notes: ["steps.csv: not in the baseline, and so not compared: max_vio"],
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
    const { parts } = await checkResults(now, baseline, different);
    const { worst, failing, byColumn } = parts.at(-1)!;
    // All but step 0, whose number is 0 in both.
    expect(failing).toBe(499);
    expect(byColumn).toEqual(new Map([["max_vio", new Map([["worse", 499]])]]));
    expect(worst.map(({ row }) => Number(row.step))).toEqual(Array.from({ length: 100 }, (_, i) => 499 - i));
  });

  it("refuses to agree where it compares nothing, as two files that end below their headers", async () => {
    const [now, baseline] = [summary, summary].map(([header]) => resultFolder({ "summary.csv": [header] }));
    await expect(checkResults(now, baseline, different)).rejects.toThrow(/there is nothing to compare/);
    await expect(checkResults(now, baseline, different)).rejects.toThrow(InputError);
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
    const error = await checkResults(now, baseline, different).catch((reason: Error) => reason);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(message);
  });
});

/** Results with rows of summary.csv: the router, the seed and the metrics `columns`. */
function summaryOf(columns: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const header = ["scenario", "router", "kind", "seed", "steps", "experts", ...columns];
  const cells = rows.map(([router, seed, ...values]) => ["s", router, "topk", seed, 2, 4, ...values].map(String));
  return resultFolder({ "summary.csv": [header, ...cells] });
}

/** What a check for worse metrics says about each of the metrics, `router column` by verdict; `same` is not listed. */
async function verdictsOf(now: string, baseline: string, rules = rulesOf("worse")) {
  const { passed, parts } = await checkResults(now, baseline, rules);
  const found = worstOf(parts, 100).map(
    ({ verdict, router, column, kind }) => `${verdict} ${router} ${column ?? kind}`,
  );
  return { passed, found };
}

describe("a check of results for a metric that is worse than in a baseline", () => {
  const folders = (before: number, after: number, column = "max_vio_global") =>
    [after, before].map((value) => summaryOf([column], [["a", 1, value]])) as [string, string];

  it("passes an improvement, and calls it better", async () => {
    expect(await verdictsOf(...folders(1.633, 1.28))).toEqual({ passed: true, found: ["better a max_vio_global"] });
  });

  it("fails a worsening of 19.6 % with a tolerance of 5 %, though it is small", async () => {
    const rules = rulesOf("worse", "5%");
    expect(await verdictsOf(...folders(0.22, 0.263), rules)).toEqual({
      passed: false,
      found: ["worse a max_vio_global"],
    });
  });

  it("calls a change within the tolerance the same", async () => {
    for (const tolerance of ["0.05", "20%"]) {
      const { passed, parts } = await checkResults(...folders(0.22, 0.263), rulesOf("worse", tolerance));
      expect(passed).toBe(true);
      // The kind, steps, experts and max_vio_global.
      expect(countsOf(parts)).toEqual(new Map([["same", 4]]));
    }
  });

  it("knows of each metric which way is better", async () => {
    expect(await verdictsOf(...folders(0.5, 0.4, "score"))).toEqual({ passed: false, found: ["worse a score"] });
    expect(await verdictsOf(...folders(0.5, 0.6, "score"))).toEqual({ passed: true, found: ["better a score"] });
    expect(await verdictsOf(...folders(0.5, 0.4, "churn"))).toEqual({ passed: true, found: ["changed a churn"] });
    const anyway = await verdictsOf(...folders(0.5, 0.6, "score"), different);
    expect(anyway).toEqual({ passed: false, found: ["better a score"] });
  });

  it("passes a row that is new, unless it is strict, and fails one that is missing", async () => {
    const one = summaryOf(["score"], [["a", 1, 0.5]]);
    const two = summaryOf(
      ["score"],
      [
        ["a", 1, 0.5],
        ["b", 1, 0.5],
      ],
    );
    for (const rules of [rulesOf("worse"), different]) {
      expect(await verdictsOf(two, one, rules)).toEqual({ passed: true, found: ["new b row"] });
      expect(await verdictsOf(two, one, { ...rules, isStrict: true })).toEqual({ passed: false, found: ["new b row"] });
      expect(await verdictsOf(one, two, rules)).toEqual({ passed: false, found: ["missing b row"] });
    }
  });

  it("fails a value that is missing, and only if it is strict one that is new", async () => {
    const [full, empty] = ["0.5", ""].map((cell) => summaryOf(["score"], [["a", 1, cell]]));
    expect(await verdictsOf(empty, full)).toEqual({ passed: false, found: ["missing a score"] });
    expect(await verdictsOf(full, empty)).toEqual({ passed: true, found: ["new a score"] });
    // Neither way is better for the standard error, which is empty once regret is measured on every step.
    const [sampled, measured] = ["0.5", ""].map((cell) => summaryOf(["regret_se"], [["a", 1, cell]]));
    expect(await verdictsOf(measured, sampled)).toEqual({ passed: true, found: ["missing a regret_se"] });
    expect((await verdictsOf(measured, sampled, different)).passed).toBe(false);
    const strict = { ...rulesOf("worse"), isStrict: true };
    expect(await verdictsOf(full, empty, strict)).toEqual({ passed: false, found: ["new a score"] });
    expect((await verdictsOf(full, empty, different)).passed).toBe(false);
  });

  it("says that a size or a kind changed, without failing", async () => {
    const [before, after] = [100, 200].map((tokens) => summaryOf(["tokens", "score"], [["a", 1, tokens, 0.5]]));
    expect(await verdictsOf(after, before)).toEqual({ passed: true, found: ["changed a tokens"] });
    const other = resultFolder({ "summary.csv": summaryRows([["a", 0, "0.5"]]).map((row) => row.with(2, "kind")) });
    const original = resultFolder({ "summary.csv": summaryRows([["a", 0, "0.5"]]) });
    expect(await verdictsOf(other, original)).toEqual({ passed: true, found: ["changed a kind"] });
  });

  it("compares the means over seeds", async () => {
    const [before, after] = [
      [0.5, 0.75],
      [0.75, 0.5],
    ].map((scores) =>
      summaryOf(
        ["score"],
        Array.from(scores.entries(), ([seed, score]) => ["a", seed, score]),
      ),
    );
    expect(await verdictsOf(after, before)).toEqual({ passed: true, found: [] });
    expect(await verdictsOf(after, before, different)).toEqual({
      passed: false,
      found: ["worse a score", "better a score"],
    });
  });

  it("takes a standard error from the changes of each seed", async () => {
    const scores = (values: readonly number[]) =>
      summaryOf(
        ["score"],
        Array.from(values.entries(), ([seed, score]) => ["a", seed, score]),
      );
    const before = scores([0.2, 0.5, 0.8]);
    // Changes of −0.1, −0.2, −0.3: mean −0.2, deviation 0.1, standard error 0.1/√3 = 0.0577; the scores' own is 0.17.
    const after = scores([0.1, 0.3, 0.5]);
    expect(await verdictsOf(after, before, rulesOf("worse", "3.4se"))).toEqual({
      passed: false,
      found: ["worse a score"],
    });
    expect(await verdictsOf(after, before, rulesOf("worse", "3.5se"))).toEqual({ passed: true, found: [] });
    const { parts } = await checkResults(after, before, rulesOf("worse", "3se"));
    const [{ change, allowed }] = worstOf(parts, 1);
    expect(change).toBeCloseTo(-0.2, 12);
    expect(allowed).toBeCloseTo((3 * 0.1) / Math.sqrt(3), 12);
    // For a metric with standard errors, any difference is one of means, too.
    const twoSided = rulesOf("different", "0.5", ["score=3.5se"]);
    expect(await verdictsOf(after, before, twoSided)).toEqual({ passed: true, found: [] });
    expect(await verdictsOf(before, after, rulesOf("different", "3.4se"))).toEqual({
      passed: false,
      found: ["better a score"],
    });
  });

  it("refuses standard errors of a single seed, even if nothing changed", async () => {
    const folder = summaryOf(["score"], [["a", 1, 0.5]]);
    const message =
      /^summary\.csv: router "a" has a single seed in both folders, and the tolerance 2se of score needs at least two/;
    const ofScore = rulesOf("worse", "0", ["score=2se"]);
    await expect(checkResults(folder, folder, ofScore)).rejects.toThrow(message);
    await expect(checkResults(folder, folder, ofScore)).rejects.toThrow(InputError);
    // The option names no column, and neither does the message.
    await expect(checkResults(folder, folder, rulesOf("worse", "2se"))).rejects.toThrow(
      /single seed in both folders, and the tolerance 2se needs at least two/,
    );
  });

  it("turns better into worse if the folders are swapped", async () => {
    const cell = fc.double({ noNaN: true, min: -10, max: 10 }).map(String);
    const opposite: Record<string, string> = { better: "worse", worse: "better", changed: "changed" };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.tuple(cell, cell, cell), fc.tuple(cell, cell, cell)), { minLength: 2, maxLength: 4 }),
        fc.constantFrom("0", "0.5", "1se"),
        async (seeds, tolerance) => {
          const columns = ["max_vio_global", "score", "churn"];
          const [one, other] = [0, 1].map((side) =>
            summaryOf(
              columns,
              seeds.map((both, seed) => ["a", seed, ...both[side]]),
            ),
          );
          const [there, back] = await Promise.all(
            [
              [one, other],
              [other, one],
            ].map(([now, baseline]) => verdictsOf(now, baseline, rulesOf("worse", tolerance))),
          );
          const swapped = there.found.map((text) => text.replace(/^\w+/, (verdict) => opposite[verdict]));
          expect(back.found.toSorted()).toEqual(swapped.toSorted());
          expect(there.passed).toBe(there.found.every((text) => !text.startsWith("worse")));
        },
      ),
      { seed: 4, numRuns: 40 },
    );
  });

  it("looks at nothing but summary.csv and layers.csv", async () => {
    const files = (maxVio: string) => ({
      "summary.csv": summary,
      "steps.csv": [stepHeader, ["s", "a", "0", "0", maxVio, "1"]],
      "layers.csv": [
        ["scenario", "router", "seed", "max_vio_global", "layer"],
        ["s", "a", "0", maxVio, "0"],
        ["s", "a", "0", "0.5", "3"],
      ],
    });
    const [before, after] = ["0.25", "0.75"].map((maxVio) => resultFolder(files(maxVio)));
    const { parts } = await checkResults(after, before, rulesOf("worse"));
    expect(worstOf(parts, 10)).toMatchObject([
      {
        verdict: "worse",
        file: "layers.csv",
        row: { scenario: "s", layer: "0" },
        column: "max_vio_global",
        change: 0.5,
      },
    ]);
    // The other files are compared for any difference.
    const all = await checkResults(after, before, different);
    expect(worstOf(all.parts, 10).map(({ file }) => file)).toEqual(["layers.csv", "steps.csv"]);
    // A layer is a row like any other.
    const fewer = files("0.25");
    const lacking = resultFolder({ ...fewer, "layers.csv": fewer["layers.csv"].slice(0, 2) });
    expect(await verdictsOf(lacking, before)).toEqual({ passed: false, found: ["missing a row"] });
  });

  it("keeps rows of a swept size apart, whose column is there twice", async () => {
    const rows = (scores: readonly number[]) =>
      resultFolder({
        "summary.csv": [
          ["scenario", "router", "kind", "seed", "tokens", "steps", "experts", "score", "tokens"],
          ...scores.map((score, cell) => [
            "s",
            "a",
            "topk",
            "1",
            `${8 * (cell + 1)}`,
            "2",
            "4",
            `${score}`,
            `${8 * (cell + 1)}`,
          ]),
        ],
      });
    // Of the mean over both nothing would have changed.
    const { parts } = await checkResults(rows([0.75, 0.5]), rows([0.5, 0.75]), rulesOf("worse"));
    expect(worstOf(parts, 10)).toMatchObject([
      { verdict: "worse", row: { tokens: "16" } },
      { verdict: "better", row: { tokens: "8" } },
    ]);
  });

  it("says that a tolerance is of no use, since its column is not compared", async () => {
    const folder = summaryOf(["score"], [["a", 1, 0.5]]);
    const { notes } = await checkResults(folder, folder, rulesOf("worse", "0", ["marginal_error=1", "score=1"]));
    expect(notes).toEqual([expect.stringMatching(/^--metric marginal_error: is not a column of summary\.csv here/)]);
  });

  it("says why nothing matches if the scenarios have other names", async () => {
    const named = (name: string) =>
      resultFolder({
        "summary.csv": summary.map((row, i) => (i === 0 ? row : row.with(summary[0].indexOf("scenario"), name))),
      });
    const { notes, passed } = await checkResults(named("monday"), named("tuesday"), rulesOf("worse"));
    expect(passed).toBe(false);
    expect(notes).toEqual([
      expect.stringMatching(
        /^summary\.csv: no row has a counterpart, because the baseline is of "tuesday" and the results of "monday"\./,
      ),
    ]);
  });

  it("refuses a metric that is no number", async () => {
    const [good, bad] = ["0.5", "NaN"].map((score) => summaryOf(["score"], [["a", 1, score]]));
    await expect(checkResults(bad, good, rulesOf("worse"))).rejects.toThrow(
      'summary.csv of the results: router "a", score: "NaN" is not a number',
    );
    await expect(checkResults(good, bad, rulesOf("worse"))).rejects.toThrow(InputError);
  });
});

describe("two cells", () => {
  it.each([
    ["1", "1.0", "the same number, written otherwise"],
    ["", "", "nothing in both"],
    ["NaN", "NaN", "the same text"],
  ])("agree: %j and %j, %s", (baseline, now) => {
    expect(compareCell("score", baseline, now, parseTolerance("0", ""))).toBeNull();
  });

  it.each([
    ["", "0", "new"],
    ["0", "", "missing"],
    ["0", " ", "changed"],
    ["topk", "ssr", "changed"],
    ["1", "NaN", "changed"],
    ["Infinity", "1", "changed"],
  ])("differ as text, however large the tolerance: %j and %j", (baseline, now, verdict) => {
    const found = compareCell("score", baseline, now, parseTolerance("1e300", ""));
    expect(found).toEqual({ verdict, baseline, now, change: null, allowed: null });
  });
});

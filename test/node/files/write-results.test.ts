import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { parse } from "csv-parse/sync";
import { stringify } from "csv-stringify/sync";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { StepRecord } from "../../../src/core/metrics/step-record.ts";
import type { CsvValue } from "../../../src/core/results/result-columns.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import type { Scenario } from "../../../src/core/scenario/scenario.ts";
import { loadSteps } from "../../../src/core/simulation/router-run.ts";
import { createCsvFile, writeSteps } from "../../../src/node/files/write-results.ts";
import { readCsv, temporaryFolder } from "../../support/program.ts";
import { simulateRouters } from "../../support/simulate-routers.ts";

describe("a CSV file", () => {
  const header = ["a", "b", "c"];

  /** The text of a file of `rows` without its header. */
  function written(rows: readonly (readonly CsvValue[])[]): string {
    const name = path.join(temporaryFolder(), "some.csv");
    const file = createCsvFile(name, header);
    for (const row of rows) file.write(row);
    file.close();
    const text = readFileSync(name, "utf8");
    expect(text.startsWith("a,b,c\n")).toBe(true);
    return text.slice("a,b,c\n".length);
  }

  const cell = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constant(null),
    fc.string({ unit: "binary" }),
    fc.constantFrom('a "b"', "a,b", "a\nb", "a\rb", " a", "é𝛼", ""),
  );

  it("writes the bytes of csv-stringify for any table", () => {
    fc.assert(
      fc.property(fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { maxLength: 6 }), (rows) => {
        expect(written(rows)).toBe(stringify(rows));
      }),
    );
  });

  it("leaves a cell empty whose number is not finite", () => {
    expect(written([[1, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, -0]])).toBe("1,,,,0\n");
  });

  it("keeps no file open between writes", () => {
    const openFiles = () => readdirSync("/dev/fd").length;
    const folder = temporaryFolder();
    const before = openFiles();
    const files = Array.from({ length: 50 }, (_, i) => createCsvFile(path.join(folder, `${i}.csv`), ["a"]));
    for (const file of files) file.write(["x".repeat(70_000)]);
    expect(openFiles()).toBeLessThan(before + 50);
    for (const file of files) file.close();
    expect(readFileSync(path.join(folder, "49.csv"), "utf8")).toBe(`a\n${"x".repeat(70_000)}\n`);
  });

  it("writes numbers so that reading them back gives the same double", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const [[text]] = parse(written([[value]]));
        expect(Number(text)).toBe(value === 0 ? 0 : value);
      }),
    );
  });

  it("keeps every row in its order past what it writes at a time, a row that is longer included", () => {
    const rows = Array.from({ length: 5000 }, (_, i) => [i, i === 2500 ? "é".repeat(70_000) : "text", i / 7]);
    expect(written(rows)).toBe(stringify(rows));
  });

  it("writes rows whole that end just before, at and just after the end of a piece", () => {
    const pieceBytes = 2 ** 16;
    for (let length = pieceBytes - 18; length <= pieceBytes + 2; length++) {
      const rows = [
        ["x".repeat(length - 3), 1],
        ["é", 2],
      ];
      expect(written(rows) === stringify(rows), `first row of ${length} bytes`).toBe(true);
    }
  });
});

describe("the files of steps", () => {
  const routers = [
    { kind: "topk" },
    { kind: "alf-lb", updateRate: 0.01 },
    { kind: "ssr", select: { mode: "every", n: 4 } },
  ];

  function scenarioOf(fields: object): Promise<Scenario> {
    const sizes = { name: "made", seed: 7, steps: 200, tokens: 8, experts: 4, topK: 1, regret: { every: 3 } };
    return resolveScenario({ ...sizes, stream: { kind: "gaussian" }, routers, ...fields }, "made.yaml");
  }

  it("writes the loads of steps that the seed draws, with the first and the last", async () => {
    const scenario = await scenarioOf({ loadSamples: 12, regret: { every: 0 } });
    const folder = temporaryFolder();
    const loads = new Map<string, string[]>();
    const onStep = ({ name }: { name: string }, { step, load }: { step: number; load: ArrayLike<number> }) => {
      loads.set(`${name} ${step}`, Array.from(load, String));
    };
    await writeSteps(folder, scenario, await simulateRouters(scenario, { onStep }));
    const rows = readCsv(path.join(folder, "loads.csv"));
    expect(rows).toHaveLength(3 * 12 * 4);
    for (const { router, step, expert, load } of rows) {
      expect(load).toBe(loads.get(`${router} ${step}`)![Number(expert)]);
    }
    const drawn = rows.slice(0, 12 * 4).flatMap(({ step, expert }) => (expert === "0" ? [Number(step)] : []));
    expect([drawn[0], drawn.at(-1)]).toEqual([0, 199]);
    // Even steps would show a load of period 18 on one and the same phase.
    expect(new Set(drawn.slice(1, -1).map((step) => step % 18)).size).toBeGreaterThan(3);
    expect(loadSteps(scenario)).toEqual(drawn);
    expect(loadSteps({ ...scenario, seed: 8 })).not.toEqual(drawn);
  });

  it("writes each figure of steps.csv on its step, and nothing where there is none", async () => {
    // More steps than are written at a time.
    const scenario = await scenarioOf({ steps: 1100 });
    const folder = temporaryFolder();
    const records = new Map<string, StepRecord>();
    const onStep = ({ name }: { name: string }, record: StepRecord) => {
      records.set(`${name} ${record.step}`, record);
    };
    const results = await simulateRouters(scenario, { onStep });
    await writeSteps(folder, scenario, results);
    const rows = readCsv(path.join(folder, "steps.csv"));
    expect(rows).toHaveLength(3 * 1100);
    const cell = (value: number | null | undefined) => (value === null || value === undefined ? "" : String(value + 0));
    for (const [index, row] of rows.entries()) {
      const { router, dualRegret } = results[Math.floor(index / 1100)];
      const step = index % 1100;
      const { metrics, regret, solver } = records.get(`${router.name} ${step}`)!;
      expect(row).toMatchObject({
        router: router.name,
        step: String(step),
        max_vio: cell(metrics.maxVio),
        regret: cell(regret?.regret),
        regret_cumulative: cell(regret?.regretCumulative),
        optimum_gap: cell(regret?.optimumGap),
        dual_regret_cumulative: cell(dualRegret?.cumulative[step]),
        solver_iterations: cell(solver?.iterations),
      });
      expect(row.solver_iterations === "").toBe(!(router.kind === "ssr" && step % 4 === 0));
      expect(row.dual_regret_cumulative === "").toBe(router.kind !== "alf-lb");
    }
    expect(rows.filter(({ regret }) => regret !== "")).toHaveLength(3 * 367);
    expect(readdirSync(folder).sort()).toEqual(["diagnostics.csv", "loads.csv", "steps.csv"]);
  });
});

import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { headerOf, summaryColumnsOf } from "../../../src/core/results/result-columns.ts";
import { cellOf, numberOf } from "../../../src/core/results/results.ts";
import { metricOf, variantsOf } from "../../../src/core/results/variants.ts";
import { sweepDualRegretWarnings } from "../../../src/core/results/warnings.ts";
import {
  openResults,
  openRows,
  readLoadSeries,
  readStepSeries,
  readTable,
} from "../../../src/node/files/read-results.ts";
import { beginsAsResults, readRunJson } from "../../../src/node/files/results-folder.ts";
import { madeSweep } from "../../support/made-sweep.ts";
import { temporaryFolder } from "../../support/program.ts";

const header = headerOf(summaryColumnsOf("none"));

/** One row of summary.csv: the columns named, `parameters` behind them, all else empty. */
function summaryRow(cells: Record<string, string | number>, parameters: readonly string[] = []): string {
  const filled: Record<string, string | number> = { scenario: "made", kind: "topk", steps: 2, experts: 4, ...cells };
  return [...header.map((column) => filled[column] ?? ""), ...parameters].join(",");
}

function writeSummary(folder: string, rows: readonly string[], parameters: readonly string[] = []): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "summary.csv"), `${[[...header, ...parameters].join(","), ...rows].join("\n")}\n`);
}

/** A sweep of `u` over 1 and 2, with seeds 7 and 8 and the routers a and b. */
function writeSweep(folder: string): void {
  const rows: string[] = [];
  let cell = 0;
  for (const u of [1, 2]) {
    for (const seed of [7, 8]) {
      const cells = ["a", "b"].map((router, i) => ({ router, seed, max_vio_global: 10 * u + seed + i }));
      writeSummary(
        path.join(folder, "cells", String(cell++)),
        cells.map((row) => summaryRow(row)),
      );
      rows.push(...cells.map((row) => summaryRow(row, [String(u)])));
    }
  }
  writeSummary(folder, rows, ["routers.a.u"]);
}

describe("openResults", () => {
  it("opens a run as one run with all rows, and reads its description", () => {
    const folder = temporaryFolder();
    writeSummary(folder, [summaryRow({ router: "a", seed: 1 }), summaryRow({ router: "b", seed: 1 })]);
    writeFileSync(path.join(folder, "run.json"), JSON.stringify({ scenario: { description: "Why?" } }));
    const results = openResults(folder);
    expect(results).toMatchObject({ name: "made", description: "Why?", parameters: [] });
    expect(results.runs).toMatchObject([{ folder, rows: [0, 1] }]);
    expect(variantsOf(results).map(({ name }) => name)).toEqual(["a", "b"]);
  });

  it("finds the rows of a cell that lacks columns of the others, wherever in the file those stand", () => {
    const folder = temporaryFolder();
    const columns = ["scenario", "router", "kind", "seed", "steps", "experts", "max_vio_global", "score"];
    const cell = path.join(folder, "cells/0");
    mkdirSync(cell, { recursive: true });
    writeFileSync(path.join(cell, "summary.csv"), `${columns}\nmade,a,topk,1,2,4,0.5,0.25\n`);
    const all = columns.toSpliced(-1, 0, "task_loss");
    writeFileSync(path.join(folder, "summary.csv"), `${all},u\nmade,a,topk,1,2,4,0.5,,0.25,8\n`);
    expect(openResults(folder).runs).toMatchObject([{ folder: cell, rows: [0] }]);
  });

  it("finds the cell of each row of a sweep, and joins the seeds of a variant", () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    const results = openResults(folder);
    expect(results.parameters).toEqual(["routers.a.u"]);
    expect(results.runs.map(({ rows }) => rows)).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
      [6, 7],
    ]);
    const variants = variantsOf(results);
    expect(variants.map(({ name }) => name)).toEqual(["a u=1", "b u=1", "a u=2", "b u=2"]);
    expect(variants[3].members.map(({ run }) => path.basename(run.folder))).toEqual(["2", "3"]);
    // Of b with u = 2: 10 u + seed + 1 for the seeds 7 and 8.
    expect(metricOf(results, variants[3], "max_vio_global")).toMatchObject({ mean: 28.5, count: 2 });
    expect(metricOf(results, variants[3], "score")).toBeNull();
  });

  it("names swept paths in full where their last keys are the same", () => {
    const folder = temporaryFolder();
    writeSummary(folder, [summaryRow({ router: "a" }, ["1", "2"])], ["routers.a.u", "routers.b.u"]);
    expect(variantsOf(openResults(folder))[0].name).toBe("a routers.a.u=1 routers.b.u=2");
  });

  it("refuses what holds no finished results", () => {
    const folder = temporaryFolder();
    expect(() => openResults(path.join(folder, "absent"))).toThrow(/there is no such folder/);
    expect(() => openResults(folder)).toThrow(/has no summary\.csv/);
  });

  it("never takes cells for those of a summary that has other rows", () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    writeSummary(path.join(folder, "cells", "3"), [summaryRow({ router: "a", seed: 8, max_vio_global: 29 })]);
    expect(() => openResults(folder)).toThrow(/rows are not those of its cells/);
    // A run in the folder of an earlier sweep leaves its cells behind.
    writeFileSync(path.join(folder, "run.json"), "{}");
    writeSummary(folder, [summaryRow({ router: "a", seed: 1 })]);
    expect(openResults(folder).runs).toMatchObject([{ folder, rows: [0] }]);
  });

  it("refuses a run.json that is none", () => {
    const folder = temporaryFolder();
    writeSummary(folder, [summaryRow({ router: "a" })]);
    writeFileSync(path.join(folder, "run.json"), "{");
    expect(() => openResults(folder)).toThrow(/run\.json: is not JSON/);
  });
});

describe("a table", () => {
  function fileOf(text: string | Buffer): string {
    const file = path.join(temporaryFolder(), "summary.csv");
    writeFileSync(file, text);
    return file;
  }

  describe("readTable", () => {
    it("keeps every cell's digits, and tells empty cells from numbers", () => {
      const table = readTable(fileOf('router,score,regret\n"a,""b""",0.10000000000000001,\nc,1e-7,0\n'), ["router"]);
      expect(table.columns).toEqual(["router", "score", "regret"]);
      expect(cellOf(table, 0, "router")).toBe('a,"b"');
      expect(cellOf(table, 0, "score")).toBe("0.10000000000000001");
      expect(numberOf(table, 0, "score")).toBe(0.1);
      expect(numberOf(table, 0, "regret")).toBeNull();
      expect(numberOf(table, 1, "regret")).toBe(0);
      expect(cellOf(table, 1, "absent")).toBe("");
    });

    it("names file, row and column where a number is expected and something else stands", () => {
      const table = readTable(fileOf("router,score\na,1\nb,fast\n"), ["score"]);
      expect(() => numberOf(table, 1, "score")).toThrow(/summary\.csv: row 3, score: "fast" is not a number/);
      const blank = readTable(fileOf('router,score\na," "\n'), ["score"]);
      expect(() => numberOf(blank, 0, "score")).toThrow(/row 2, score: " " is not a number/);
    });

    it.each([
      ["no file at all", null, /there is no such file/],
      ["an empty file", "", /has no column router/],
      ["a header alone", "router,score\n", /has no rows below its header/],
      ["a column short", "kind,score\na,1\n", /has no column router/],
      ["two columns of one name", "router,score,score\na,1,2\n", /two columns named "score"/],
      ["a row that is too long", "router,score\na,1,2\n", /cannot be read as CSV.*line 2/s],
      ["a quote that never ends", 'router,score\n"a,1\n', /cannot be read as CSV/],
    ])("refuses %s", (_, text, message) => {
      const file = text === null ? path.join(temporaryFolder(), "summary.csv") : fileOf(text);
      expect(() => readTable(file, ["router"])).toThrow(message);
    });

    it("refuses a folder in the file's place", () => {
      const file = path.join(temporaryFolder(), "summary.csv");
      mkdirSync(file);
      expect(() => readTable(file, ["router"])).toThrow(/this is a folder; a file is needed/);
    });

    it("refuses a pipe and a device in the file's place, as all that read results do, and waits for neither", async () => {
      const folder = temporaryFolder();
      const [pipe, device] = ["pipe.csv", "device.csv"].map((name) => path.join(folder, name));
      execFileSync("mkfifo", [pipe]);
      symlinkSync("/dev/zero", device);
      for (const file of [pipe, device]) {
        expect(() => readTable(file, ["router"])).toThrow(`${file}: this is no regular file`);
        expect(() => beginsAsResults(file)).toThrow(`${file}: this is no regular file`);
        await expect(openRows(file, ["router"])).rejects.toThrow(`${file}: this is no regular file`);
        const record = path.join(temporaryFolder(), "run.json");
        symlinkSync(file, record);
        expect(() => readRunJson(path.dirname(record))).toThrow(`${record}: this is no regular file`);
      }
    });
  });
});

describe("series of steps", () => {
  function fileOf(text: string): string {
    const file = path.join(temporaryFolder(), "file.csv");
    writeFileSync(file, text);
    return file;
  }

  const absent = path.join(temporaryFolder(), "absent.csv");

  describe("readStepSeries", () => {
    it("gives each router its steps and the columns asked for, with NaN for what is empty", async () => {
      const file = fileOf("router,seed,step,max_vio,regret\na,1,0,0.5,\na,1,1,0.25,2\nb,1,0,3,1\n");
      const series = await readStepSeries(file, ["regret", "max_vio"]);
      expect(Array.from(series.keys())).toEqual(["a", "b"]);
      expect(series.get("a")).toEqual({ step: [0, 1], columns: { regret: [Number.NaN, 2], max_vio: [0.5, 0.25] } });
      expect(series.get("b")).toEqual({ step: [0], columns: { regret: [1], max_vio: [3] } });
    });

    it("has NaN for an optional column that the file lacks", async () => {
      const file = fileOf("router,step,max_vio\na,0,1\na,1,2\n");
      const series = await readStepSeries(file, ["max_vio"], ["task_loss"]);
      expect(series.get("a")!.columns).toEqual({ max_vio: [1, 2], task_loss: [Number.NaN, Number.NaN] });
      const trained = fileOf("router,step,task_loss,max_vio\na,0,7,1\na,1,,2\n");
      expect((await readStepSeries(trained, ["max_vio"], ["task_loss"])).get("a")!.columns).toEqual({
        max_vio: [1, 2],
        task_loss: [7, Number.NaN],
      });
    });

    it("takes a missing file for no series", async () => {
      expect((await readStepSeries(absent, ["max_vio"])).size).toBe(0);
    });

    it("names the row of a cell that holds no number", async () => {
      await expect(readStepSeries(fileOf("router,step,max_vio\na,0,1\na,1,x\n"), ["max_vio"])).rejects.toThrow(
        /file\.csv: row 3, max_vio: "x" is not a number/,
      );
    });

    it("refuses a file without the column, and one that is no CSV", async () => {
      await expect(readStepSeries(fileOf("router,step\na,0\n"), ["max_vio"])).rejects.toThrow(/has no column max_vio/);
      await expect(readStepSeries(fileOf("router,step,max_vio\na,0\n"), ["max_vio"])).rejects.toThrow(
        /cannot be read as CSV/,
      );
    });
  });

  describe("readLoadSeries", () => {
    it("gives each router a matrix of steps and experts", async () => {
      const rows = ["a,0,0,5", "a,0,1,6", "a,9,0,7", "a,9,1,8", "b,9,0,1", "b,9,1,0"];
      const series = await readLoadSeries(fileOf(`router,step,expert,load\n${rows.join("\n")}\n`));
      expect(series.get("a")).toMatchObject({ step: [0, 9], experts: 2, load: [5, 6, 7, 8] });
      expect(series.get("b")).toMatchObject({ step: [9], experts: 2, load: [1, 0] });
    });

    it.each([
      ["whose last step is short", ["a,0,0,5", "a,0,1,6", "a,1,0,7"]],
      ["whose step in the middle is short", ["a,0,0,5", "a,0,1,6", "a,1,0,7", "a,2,0,1", "a,2,1,1"]],
      ["that leaves an expert out", ["a,0,0,5", "a,0,2,6"]],
      ["that lists an expert twice", ["a,0,0,5", "a,0,0,6"]],
    ])("refuses a file %s", async (_, rows) => {
      await expect(readLoadSeries(fileOf(`router,step,expert,load\n${rows.join("\n")}\n`))).rejects.toThrow(
        /loads of router "a" are not those of all experts/,
      );
    });

    it.each(["", "-5"])("refuses the load %j, which is none", async (load) => {
      await expect(readLoadSeries(fileOf(`router,step,expert,load\na,3,0,5\na,3,1,${load}\n`))).rejects.toThrow(
        /router "a", step 3, expert 1: has no load/,
      );
    });
  });
});

describe("results of several layers", () => {
  function written(name: string, text: string): string {
    const file = path.join(temporaryFolder(), name);
    writeFileSync(file, text);
    return file;
  }

  it("give each step the mean over the layers that have a value there", async () => {
    const file = written(
      "steps.csv",
      "router,step,max_vio,regret,layer\na,0,1,,3\na,1,2,0.5,3\na,0,3,,7\na,1,,1.5,7\nb,0,4,,3\nb,0,6,,7\n",
    );
    const series = await readStepSeries(file, ["max_vio"], ["regret", "churn"]);
    const nothing = [Number.NaN, Number.NaN];
    expect(series.get("a")).toEqual({
      step: [0, 1],
      columns: { max_vio: [2, 2], regret: [Number.NaN, 1], churn: nothing },
    });
    expect(series.get("b")!.columns.max_vio).toEqual([5]);
  });

  it("have loads by layer, summed over the steps, and none over experts of different layers", async () => {
    const folder = temporaryFolder();
    writeSummary(folder, [summaryRow({ router: "a", max_vio_global: 1 })]);
    const rows = [3, 7].flatMap((layer) =>
      [0, 5].flatMap((step) =>
        [0, 1].map((expert) => `made,a,1,${step},${expert},${layer * (expert + step)},${layer}`),
      ),
    );
    writeFileSync(path.join(folder, "loads.csv"), `scenario,router,seed,step,expert,load,layer\n${rows.join("\n")}\n`);
    const [{ files }] = openResults(folder).runs;
    expect(await files.loadSeries()).toEqual(new Map());
    expect((await files.layerLoads()).get("a")).toEqual({
      steps: 2,
      layers: [
        { layer: 3, load: [15, 21] },
        { layer: 7, load: [35, 49] },
      ],
    });
    expect(files.layers()).toBeNull();
  });

  it("refuse loads that are not those of all experts in order", async () => {
    const folder = temporaryFolder();
    writeSummary(folder, [summaryRow({ router: "a", max_vio_global: 1 })]);
    writeFileSync(path.join(folder, "loads.csv"), "scenario,router,seed,step,expert,load,layer\nmade,a,1,0,2,4,3\n");
    const [{ files }] = openResults(folder).runs;
    await expect(files.layerLoads()).rejects.toThrow(/loads\.csv: router "a", layer 3, step 0: the loads are not/);
  });

  it("of one layer have no loads by layer", async () => {
    const folder = temporaryFolder();
    writeSummary(folder, [summaryRow({ router: "a", max_vio_global: 1 })]);
    writeFileSync(path.join(folder, "loads.csv"), "scenario,router,seed,step,expert,load\nmade,a,1,0,0,4\n");
    const [{ files }] = openResults(folder).runs;
    expect((await files.layerLoads()).size).toBe(0);
    expect((await files.loadSeries()).get("a")!.load).toEqual([4]);
  });
});

describe("the precision of dual regret", () => {
  const rows = [{ router: "a" }];
  const basis = { router: "a", gap: 0, keptFraction: 1 };

  function basesOf(records: readonly unknown[]) {
    const { runs } = madeSweep(
      [],
      records.map((record, seed) => ({ seed, values: [], rows, record })),
    );
    return runs.flatMap(({ files }) => files.dualRegret());
  }

  it("lists what the run.json of every cell tells, in the order of the cells", () => {
    const other = { router: "a", gap: 0.5, keptFraction: 0.25 };
    expect(basesOf([{ dualRegret: [basis] }, { dualRegret: [] }, { dualRegret: [other, basis] }])).toEqual([
      basis,
      other,
      basis,
    ]);
  });

  it("finds nothing in a cell without run.json, or whose run.json does not tell", () => {
    expect(basesOf([undefined, { seed: 1 }, { dualRegret: [basis] }])).toEqual([basis]);
  });

  it.each([[null], [[]], [{ dualRegret: 1 }], [{ dualRegret: [{ ...basis, gap: "0" }] }]])(
    "names the run.json that holds %j",
    (record) => {
      expect(() => basesOf([{ dualRegret: [basis] }, record])).toThrow(InputError);
      expect(() => basesOf([{ dualRegret: [basis] }, record])).toThrow(/cells\/1\/run\.json: dualRegret is not as/);
    },
  );

  it("tells of a sweep in a line how many rows rest on a sample, and in another how far they may be off", () => {
    expect(sweepDualRegretWarnings([basis, { ...basis, keptFraction: 0.5 }, { ...basis, keptFraction: 0.25 }])).toEqual(
      [
        "dual regret is based on a sample in 2 rows of summary.csv, at least 25 % of the tokens (keptFraction in each cell's run.json)",
      ],
    );
    expect(sweepDualRegretWarnings([basis, { ...basis, gap: 0.123 }])).toEqual([
      "dual regret may be up to 0.12 too low in 1 row of summary.csv (gap in each cell's run.json)",
    ]);
    expect(sweepDualRegretWarnings([basis])).toEqual([]);
  });
});

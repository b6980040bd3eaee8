import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { readLoadSeries, readStepSeries } from "../../../src/node/files/step-series.ts";
import { temporaryFolder } from "../../support/program.ts";

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

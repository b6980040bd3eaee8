import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { cellOf, numberOf } from "../../../src/core/results/results.ts";
import { beginsAsResults } from "../../../src/node/files/own-files.ts";
import { readResultTable } from "../../../src/node/files/result-table.ts";
import { openRows } from "../../../src/node/files/row-reader.ts";
import { readRunJson } from "../../../src/node/files/run-json.ts";
import { temporaryFolder } from "../../support/program.ts";

function fileOf(text: string | Buffer): string {
  const file = path.join(temporaryFolder(), "summary.csv");
  writeFileSync(file, text);
  return file;
}

describe("readResultTable", () => {
  it("keeps every cell's digits, and tells empty cells from numbers", () => {
    const table = readResultTable(fileOf('router,score,regret\n"a,""b""",0.10000000000000001,\nc,1e-7,0\n'), [
      "router",
    ]);
    expect(table.columns).toEqual(["router", "score", "regret"]);
    expect(cellOf(table, 0, "router")).toBe('a,"b"');
    expect(cellOf(table, 0, "score")).toBe("0.10000000000000001");
    expect(numberOf(table, 0, "score")).toBe(0.1);
    expect(numberOf(table, 0, "regret")).toBeNull();
    expect(numberOf(table, 1, "regret")).toBe(0);
    expect(cellOf(table, 1, "absent")).toBe("");
  });

  it("names file, row and column where a number is expected and something else stands", () => {
    const table = readResultTable(fileOf("router,score\na,1\nb,fast\n"), ["score"]);
    expect(() => numberOf(table, 1, "score")).toThrow(/summary\.csv: row 3, score: "fast" is not a number/);
    const blank = readResultTable(fileOf('router,score\na," "\n'), ["score"]);
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
    expect(() => readResultTable(file, ["router"])).toThrow(message);
  });

  it("refuses a folder in the file's place", () => {
    const file = path.join(temporaryFolder(), "summary.csv");
    mkdirSync(file);
    expect(() => readResultTable(file, ["router"])).toThrow(/this is a folder; a file is needed/);
  });

  it("refuses a pipe and a device in the file's place, as all that read results do, and waits for neither", async () => {
    const folder = temporaryFolder();
    const [pipe, device] = ["pipe.csv", "device.csv"].map((name) => path.join(folder, name));
    execFileSync("mkfifo", [pipe]);
    symlinkSync("/dev/zero", device);
    for (const file of [pipe, device]) {
      expect(() => readResultTable(file, ["router"])).toThrow(`${file}: this is no regular file`);
      expect(() => beginsAsResults(file)).toThrow(`${file}: this is no regular file`);
      await expect(openRows(file, ["router"])).rejects.toThrow(`${file}: this is no regular file`);
      const record = path.join(temporaryFolder(), "run.json");
      symlinkSync(file, record);
      expect(() => readRunJson(path.dirname(record))).toThrow(`${record}: this is no regular file`);
    }
  });
});

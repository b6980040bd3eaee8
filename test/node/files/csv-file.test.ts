import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { parse } from "csv-parse/sync";
import { stringify } from "csv-stringify/sync";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { CsvValue } from "../../../src/core/results/result-columns.ts";
import { createCsvFile } from "../../../src/node/files/csv-file.ts";
import { temporaryFolder } from "../../support/program.ts";

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

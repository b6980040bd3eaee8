import { readFileSync } from "node:fs";
import path from "node:path";
import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createCsvFile } from "../../src/report/csv-file.ts";
import { temporaryFolder } from "../support/program.ts";

function written(header: string[] | null, rows: (string | number | null)[][]): string {
  const file = path.join(temporaryFolder(), "table.csv");
  const csv = createCsvFile(file, header);
  for (const row of rows) csv.write(row);
  csv.close();
  return readFileSync(file, "utf8");
}

describe("a CSV file", () => {
  it("quotes what needs quotes and leaves missing values empty", () => {
    expect(written(["a", "b"], [['x,"y"\n', null]])).toBe('a,b\n"x,""y""\n",\n');
  });

  it("prints every finite number so that reading it gives the same double", () => {
    const double = fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Object.is(value, -0));
    fc.assert(
      fc.property(fc.array(double, { minLength: 1 }), (numbers) => {
        const [read] = parse(written(null, [numbers])) as string[][];
        expect(read.map(Number)).toEqual(numbers);
      }),
      { numRuns: 50 },
    );
  });

  it("holds more rows than it writes at once, in their order", () => {
    const rows = Array.from({ length: 10_000 }, (_, i) => [i]);
    expect(written(["n"], rows)).toBe(`n\n${rows.join("\n")}\n`);
  });
});

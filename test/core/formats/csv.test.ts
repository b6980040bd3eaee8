import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { expectInputError, openArray, readAll, recordedFolder, throwsOnlyInputErrors } from "./recorded-files.ts";

const { write } = recordedFolder();
const read = async (text: string | Uint8Array) => readAll(await openArray(write("tokens.csv", text)), 2);

describe("a vector of a .csv file", () => {
  test("reads one token per row and one expert per column", async () => {
    const reader = await openArray(write("plain.csv", "0.5,-1e-3,2\n1,.25,+3.\n-0,1E2,7"));
    expect(reader).toMatchObject({ dtype: "text", kind: "number", shape: [3, 3], length: 9 });
    expect(await readAll(reader, 2)).toEqual([0.5, -0.001, 2, 1, 0.25, 3, -0, 100, 7]);
  });

  test("skips a header, blank lines and a byte order mark, and takes quotes, spaces and CRLF", async () => {
    expect(await read('\uFEFF"expert 0",expert_1\r\n1, 2\r\n\r\n"3","4"\r\n')).toEqual([1, 2, 3, 4]);
    expect(await read("\n\n1,2\n")).toEqual([1, 2]);
  });

  test.each([
    ["line feeds", "\n"],
    ["carriage returns", "\r"],
    ["both", "\r\n"],
  ])("cuts a long file between rows, whatever its pieces: %s", async (_, end) => {
    // A piece of the file has 65,536 bytes; rows of 7 to 12 with every sort of cut among them.
    const rows = Array.from({ length: 40_000 }, (_, i) => [i, -i / 2]);
    const text = ['"a,\n""b"', "c"].join(",") + end + rows.map(([a, b]) => `"${a}", ${b}`).join(end);
    expect(await read(text)).toEqual(rows.flat().map((value) => value + 0));
    expect(await read(Buffer.from(`\uFEFF${text}`, "utf16le"))).toEqual(rows.flat().map((value) => value + 0));
  });

  test("gives NaN and infinities to the caller to judge", async () => {
    expect(await read("nan,1,-Inf\nNaN,+infinity,2")).toEqual([Number.NaN, 1, -Infinity, Number.NaN, Infinity, 2]);
  });

  test("gives back every finite double", async () => {
    const rows = fc.array(
      fc.array(fc.double({ noDefaultInfinity: true, noNaN: true }), { minLength: 3, maxLength: 3 }),
      { minLength: 1 },
    );
    await fc.assert(
      fc.asyncProperty(rows, async (numbers) => {
        expect(
          await read(numbers.map((row) => row.map((x) => (Object.is(x, -0) ? "-0" : x)).join(",")).join("\n")),
        ).toEqual(numbers.flat());
      }),
      { seed: 4, numRuns: 50 },
    );
  });

  test.each<[string, string, ...(string | RegExp)[]]>([
    ["a word among numbers", "a,b\n1,2\n3,x\n", "row 3, column 2", '"x" is not a number'],
    ["an empty cell", "1,2\n,4\n", "row 2, column 1", '"" is not a number'],
    ["a hexadecimal number", "1,2\n0x10,4\n", "row 2, column 1"],
    ["a first row of which a part is numbers", "1,oops,3\n1,2,3\n", "row 1, column 2", "a first row of names only"],
    ["a second header", "a,b\nc,d\n1,2\n", "row 2, column 1"],
    ["a row too short", "1,2\n3\n", "row 2 has 1 column; expected 2"],
    ["a row too long", "1,2\n3,4,5\n", "row 2 has 3 columns; expected 2"],
    ["rows that do not fit the header", "a,b,c\n1,2\n", "row 2 has 2 columns; expected 3"],
    ["an unclosed quote", '1,2\n"3,4\n', "malformed CSV after row 1: Quote Not Closed"],
    [
      "a quote within a cell",
      `1,2\n3,4"5\n${"1,2\n".repeat(400_000)}`,
      "malformed CSV after row 1: Invalid Opening Quote",
    ],
    ["a bad row before a bad quote", '1,x\n3,4"5\n', "row 1, column 2"],
    ["a header alone", "a,b\n", "empty stream"],
    ["nothing", "", "empty stream"],
    ["blank lines alone", "\n\n\n", "empty stream"],
  ])("refuses %s", async (_, text, ...parts) => {
    const path = write("malformed.csv", text);
    await expectInputError(() => openArray(path), path, ...parts);
  });

  test("can be closed before the end", async () => {
    const reader = await openArray(write("long.csv", "1,2\n".repeat(50_000)));
    expect(reader.shape).toEqual([50_000, 2]);
    await reader.read(new Float64Array(2));
    await reader.close();
  });

  test("answers random bytes with data or an InputError, never with another error", async () => {
    const text = fc.array(fc.constantFrom("1", "2", ",", "\n", '"', ".", "e", "-", "x", " ", "\r\n", "\u0000"), {
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          text.map((parts) => Buffer.from(parts.join(""))),
          fc.uint8Array({ maxLength: 60 }),
        ),
        async (bytes) => {
          await throwsOnlyInputErrors(() => read(bytes));
        },
      ),
      { seed: 5, numRuns: 200 },
    );
  });
});

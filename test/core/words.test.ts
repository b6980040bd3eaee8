import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { counted, shellWord, withOwnStrings } from "../../src/core/words.ts";

it("has the singular for one thing alone", () => {
  expect([0, 1, 2, 1000].map((count) => counted(count, "row"))).toEqual(["0 rows", "1 row", "2 rows", "1000 rows"]);
});

describe("shellWord", () => {
  /** The words that a POSIX shell makes of a command line. */
  function wordsOf(line: string): string[] {
    const { stdout } = spawnSync("sh", ["-c", `for word in ${line}; do printf '%s\\0' "$word"; done`], {
      encoding: "utf8",
    });
    return stdout.split("\0").slice(0, -1);
  }

  it("is one word to a shell, whatever stands in it", () => {
    const word = fc.oneof(
      fc.string({ unit: fc.constantFrom(..." \t\n'\"\\$`*?[]{}()<>|&;#~!=-a") }),
      fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\0", "")),
    );
    // One shell for many words, since starting it takes longer than reading them.
    const property = fc.property(fc.array(word, { minLength: 50, maxLength: 100 }), (words) => {
      expect(wordsOf(words.map(shellWord).join(" "))).toEqual(words);
    });
    fc.assert(property, { numRuns: 20, seed: 8 });
  });

  it("quotes no more than it must", () => {
    const plain = ["scenarios/my-run_2.yaml", "routers.alf-lb.updateRate=0.01", "a@b", "1,2", "x:y", "5%", "1e+21"];
    expect(plain.map(shellWord)).toEqual(plain);
    expect(["", "~", "it's", "[1]"].map(shellWord)).toEqual(["''", "'~'", "'it'\\''s'", "'[1]'"]);
  });
});

describe("withOwnStrings", () => {
  it("leaves plain data equal, and arrays of numbers the same", () => {
    const numbers = Float64Array.of(1, 2);
    const data = () => ({ kind: "topk", list: ["softmax", 3, null, { "a b": "" }], digits: "12", numbers });
    expect(withOwnStrings(data())).toEqual(data());
    expect(withOwnStrings(data()).numbers).toBe(numbers);
    expect(withOwnStrings(Object.freeze({ kind: "topk" }))).toEqual({ kind: "topk" });
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(withOwnStrings(structuredClone(value))).toEqual(value);
      }),
    );
  });
});

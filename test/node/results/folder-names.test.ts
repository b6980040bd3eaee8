import { describe, expect, it } from "vitest";
import { folderNames } from "../../../src/node/results/folder-names.ts";

describe("the names of compared folders", () => {
  it.each([
    [
      ["results/a", "results/b/"],
      ["a", "b"],
    ],
    [
      ["before/run", "after/run"],
      ["before/run", "after/run"],
    ],
    [
      ["x/1/run", "x/2/run", "other"],
      ["1/run", "2/run", "other"],
    ],
    [
      ["/a", "/b/a", "/"],
      ["/a", "b/a", "/"],
    ],
    [
      ["run", "./run"],
      ["run", "run (2)"],
    ],
  ])("of %j are %j", (folders, names) => {
    expect(folderNames(folders)).toEqual(names);
  });
});

import { expect, it } from "vitest";
import { lineWithFigures } from "../../src/cli/progress.ts";

const maxVio = { name: "MaxVio", items: ["topk 1.5", "ssr, seldom 0.25", "均衡 2"] };

it.each([
  [80, "3/9 steps · MaxVio topk 1.5, ssr, seldom 0.25, 均衡 2"],
  // The last name is four columns wide.
  [53, "3/9 steps · MaxVio topk 1.5, ssr, seldom 0.25, 均衡 2"],
  [52, "3/9 steps · MaxVio topk 1.5, ssr, seldom 0.25"],
  [45, "3/9 steps · MaxVio topk 1.5, ssr, seldom 0.25"],
  [44, "3/9 steps · MaxVio topk 1.5"],
  [27, "3/9 steps · MaxVio topk 1.5"],
  [26, "3/9 steps"],
  [5, "3/9 s"],
])("ends a live line of %d columns after a whole figure", (columns, line) => {
  expect(lineWithFigures("3/9 steps", maxVio, columns)).toBe(line);
});

it("leaves out the name of figures that are not known yet", () => {
  expect(lineWithFigures("0/9 steps", { name: "MaxVio", items: [] }, 80)).toBe("0/9 steps");
});

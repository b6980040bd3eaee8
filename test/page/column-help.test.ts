import { describe, expect, it } from "vitest";
import { headerOf, summaryColumnsOf } from "../../src/core/results/result-columns.ts";
import { columnHelp, headerTitle } from "../../src/page/column-help.ts";

describe("the help on columns", () => {
  it("defines every metric of summary.csv and gives its source", () => {
    const sizes = ["scenario", "router", "kind", "seed", "steps", "tokens", "experts", "top_k"];
    const written = headerOf(summaryColumnsOf(true)).filter((name) => !sizes.includes(name) && name !== "regret_se");
    // The error of regret is the last column of the file, and stands beside regret for people.
    written.splice(written.indexOf("regret_mean") + 1, 0, "regret_se");
    expect(columnHelp.map(({ column }) => column)).toEqual(written);
    expect(columnHelp.filter(({ definition, source }) => definition === "" || source === "")).toEqual([]);
  });

  it("is the label and the definition in a header's title, and nothing for what is no metric", () => {
    expect(headerTitle("load_gini")).toBe("load Gini: Gini coefficient of A");
    expect(headerTitle("seed")).toBe("");
  });
});

import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { deviation, mean } from "d3-array";
import { describe, expect, it } from "vitest";
import { moesim, readCsv, temporaryFolder } from "../support/program.ts";
import { resultFolder, summaryRows } from "../support/result-folder.ts";
import { runInProcess } from "../support/run-in-process.ts";

/** Results of the routers topk and `other`, the scenario having `tokens`. */
function resultsOf(other: string, score: string, tokens: number): string {
  const rows = summaryRows([
    ["topk", 0, score],
    [other, 0, "0.125"],
  ]);
  const folder = resultFolder({ "summary.csv": rows });
  writeFileSync(path.join(folder, "run.json"), JSON.stringify({ scenario: { tokens } }));
  return folder;
}

const [before, after] = [resultsOf("ssr", "0.5", 512), resultsOf("base", "0.75", 1024)];
const names = [before, after].map((folder) => path.basename(folder));

describe("moesim compare", () => {
  it("shows how the scenarios differ, and each metric with its change, in plain text where there is no terminal", () => {
    const { code, stdout, stderr } = moesim(["compare", before, after]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toContain(`${names.join(", ")}: their scenarios differ in\n  tokens: 512 → 1024\n`);
    const table = stdout.slice(stdout.indexOf("score (higher is better)"));
    expect(table).toMatch(new RegExp(`^ router +${names[0]} +${names[1]} +change *$`, "m"));
    expect(table).toMatch(/^ topk +0\.5 +0\.75 +\+0\.25 *$/m);
    expect(table).toMatch(/^ ssr +0\.125 +– +– *$/m);
    expect(table).toMatch(/^ base +– +0\.125 +– *$/m);
    expect(stdout).toMatch(new RegExp(`^change: difference from ${names[0]}$`, "m"));
    expect(stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  });

  it("shows the metrics that are asked for", async () => {
    const headings = async (...words: string[]) => {
      const { stdout } = await runInProcess(["compare", before, after, ...words]);
      return Array.from(stdout.matchAll(/^\S.*is better\)$/gm), ([heading]) => heading.split(" (")[0]);
    };
    expect(await headings("--metric", "score", "max_vio_global")).toEqual(["score", "MaxVio of the run"]);
    expect(await headings("--all")).toEqual(["MaxVio of the run", "score"]);
  });

  it("prints JSON for scripts", async () => {
    const { code, stdout } = await runInProcess(["compare", before, after, before, "--json", "--metric", "score"]);
    expect(code).toBe(0);
    const { folders, fields, metrics } = JSON.parse(stdout);
    expect(folders.map(({ folder }: { folder: string }) => folder)).toEqual([before, after, before]);
    expect(fields).toEqual([{ path: "tokens", values: ["512", "1024", "512"] }]);
    expect(metrics).toHaveLength(1);
    expect(metrics[0].rows[0]).toMatchObject({
      router: "topk",
      cells: [{ mean: 0.5 }, { mean: 0.75, change: { difference: 0.25 } }, { change: { difference: 0 } }],
    });
  });

  it("shows names that are hostile by their characters' codes", async () => {
    const hostile = resultsOf("\u001b[31mred\n", "0.5", 512);
    writeFileSync(path.join(hostile, "run.json"), JSON.stringify({ scenario: { "to\u001bkens": "\u0007" } }));
    const { stdout } = await runInProcess(["compare", before, hostile]);
    expect(stdout).toContain("\\u{1b}[31mred\\u{a}");
    expect(stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  });

  it("pairs the seeds of two sweeps over the same batches", async () => {
    const folder = temporaryFolder();
    const sizes = { name: "pairs", steps: 40, tokens: 128, experts: 8, regret: { every: 0 } };
    const scenario = { ...sizes, stream: { kind: "clusters" }, routers: [{ kind: "alf-lb" }], seeds: [1, 2, 3, 4] };
    writeFileSync(path.join(folder, "pairs.json"), JSON.stringify(scenario));
    for (const [out, rate] of [
      ["slow", 0.001],
      ["fast", 0.003],
    ]) {
      await runInProcess(
        ["sweep", "pairs.json", "--quiet", "--out", `${out}`, "--set", `routers.0.updateRate=${rate}`],
        folder,
      );
    }
    const words = ["compare", "slow", "fast", "--metric", "max_vio_global", "--html", "page.html"];
    const { metrics } = JSON.parse((await runInProcess([...words, "--json"], folder)).stdout);
    const { change } = metrics[0].rows[0].cells[1];
    expect(change).toMatchObject({ pairedSeeds: 4, isClear: true, direction: "better" });
    const valuesOf = (out: string) =>
      readCsv(path.join(folder, out, "summary.csv")).map((row) => Number(row.max_vio_global));
    const [slow, fast] = [valuesOf("slow"), valuesOf("fast")];
    const differences = fast.map((value, seed) => value - slow[seed]);
    expect(change.difference).toBeCloseTo(mean(differences)!, 12);
    // Student's t with three degrees of freedom, 0.975, by tables; that of Welch's interval has more, and another spread.
    expect(change.halfWidth).toBeCloseTo((3.182446 * deviation(differences)!) / Math.sqrt(4), 6);
    expect((await runInProcess(words, folder)).stdout).toContain("for changes: paired over 4 seeds");
    expect(readFileSync(path.join(folder, "page.html"), "utf8")).toContain("paired over 4 seeds");
  });

  it("says where recorded choices differ, what they lack, and that they have no router of a run", async () => {
    const folder = temporaryFolder();
    const [one, four] = ["1", "4"].map((ranks) => path.join(folder, ranks));
    const loads = path.join(folder, "loads.csv");
    writeFileSync(loads, "4,2,1,1\n2,2,2,2\n");
    for (const out of [one, four]) {
      const words = ["--loads", loads, "--experts", "4", "--ranks", path.basename(out), "--out", out, "--quiet"];
      expect((await runInProcess(["measure", ...words])).code).toBe(0);
    }
    const both = await runInProcess(["compare", one, four, "--metric", "rank_max_vio", "score", "churn"]);
    expect(both.code).toBe(0);
    expect(both.stdout).toContain("1, 4: their recordings differ in\n  ranks: 1 → 4\n");
    expect(both.stdout).toMatch(/^ recorded +0 +0\.5 +\+0\.5 *$/m);
    expect(both.stdout).toMatch(/^empty for every router: score, churn$/m);
    const mixed = await runInProcess(["compare", before, one]);
    expect(mixed.stdout).toContain(
      "no known difference in size (experts, steps, tokens, top_k), which is all that a scenario and a recording " +
        "share\n  1: a recording of choices or loads, not a scenario\n",
    );
    expect(mixed.stdout).toContain(`1: no router in common with ${names[0]}, so no changes are shown\n`);
    expect(mixed.stdout).not.toContain("no run.json");
  });

  it("prints nothing with --quiet", async () => {
    expect(await runInProcess(["compare", before, after, "--quiet"])).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it.each([
    [["compare"], /compare: missing <folders\.\.>; usage: moesim compare <folders\.\.>/],
    [["compare", before], /only 1 folder given; name at least two/],
    [["compare", before, path.join(temporaryFolder(), "nowhere")], /there is no such folder/],
    [["compare", before, temporaryFolder()], /has no summary\.csv/],
    [["compare", before, after, "--metric", "scor"], /Did you mean "score"\?/],
    [["compare", before, after, "--metric", "score", "--all"], /mutually exclusive/],
  ])("refuses the words %j", async (words, message) => {
    const { code, stdout, stderr } = await runInProcess(words);
    expect(stderr).toMatch(message);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });
});

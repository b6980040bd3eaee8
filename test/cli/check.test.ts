import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { listFiles, moesim, projectPath, temporaryFolder } from "../support/program.ts";
import { hasPseudoTerminal, program, seenOnTerminal } from "../support/pseudo-terminal.ts";
import { resultFolder, summaryRows } from "../support/result-folder.ts";
import { runInProcess } from "../support/run-in-process.ts";

const folder = temporaryFolder();
const [results, sweep] = ["results", "sweep"].map((name) => path.join(folder, name));
const ssrCell = ["quickstart,ssr,1,4,", "max_vio", 0.5] as const;

/** Sweeps some values of a size into a folder. */
async function sweepSize(size: "topK" | "tokens", values: readonly number[], out: string): Promise<void> {
  const file = path.join(folder, "grid.json");
  const sizes = { name: "grid", steps: 3, tokens: 16, experts: 4 };
  const scenario = { ...sizes, stream: { kind: "clusters" }, routers: [{ kind: "topk" }], sweep: { [size]: values } };
  writeFileSync(file, JSON.stringify(scenario));
  await runInProcess(["sweep", file, "--out", out, "--quiet"]);
}

beforeAll(async () => {
  // Otherwise what is printed would depend on where the tests run.
  vi.stubEnv("GITHUB_ACTIONS", undefined);
  const scenario = projectPath("scenarios/quickstart.yaml");
  await runInProcess(["run", scenario, "--set", "steps=6", "tokens=64", "--out", results, "--quiet"]);
  await sweepSize("topK", [1, 2, 3], sweep);
});

afterAll(() => {
  vi.unstubAllEnvs();
});

/** A copy of the results in `original`, in whose `file` `change` has changed the text. */
function changed(file: string, change: (text: string) => string, original = results): string {
  const copy = temporaryFolder();
  cpSync(original, copy, { recursive: true });
  const changedFile = path.join(copy, file);
  writeFileSync(changedFile, change(readFileSync(changedFile, "utf8")));
  return copy;
}

/** A copy of the results in which `shift` is added to a column in the rows of steps.csv that begin with `place`. */
function shifted(place: string, column: string, shift: number): string {
  return changed("steps.csv", (text) => {
    const rows = text.split("\n");
    const position = rows[0].split(",").indexOf(column);
    const shiftRow = (row: string) => {
      const cells = row.split(",");
      return cells.with(position, String(Number(cells[position]) + shift)).join(",");
    };
    return rows.map((row) => (row.startsWith(place) ? shiftRow(row) : row)).join("\n");
  });
}

function check(now: string, baseline: string, ...words: string[]) {
  return runInProcess(["check", now, "--baseline", baseline, ...words]);
}

describe("moesim check", () => {
  it("exits with 0 and says how many cells agree, whatever the timing", () => {
    const now = changed("timing.csv", (text) => `${text}other\n`);
    const { code, stdout, stderr } = moesim(["check", now, "--baseline", results]);
    expect(stdout).toMatch(/^all [\d,]+ cells agree within 1e-6\n$/);
    expect(stderr).toBe("");
    expect(code).toBe(0);
  });

  it("exits with 1 and shows the cell that differs", () => {
    const { code, stdout, stderr } = moesim(["check", shifted(...ssrCell), "--baseline", results]);
    expect(stdout).toMatch(/^ steps\.csv +ssr +1 +4 +max_vio +[\d.]+ +[\d.]+ +0\.5 +1(\.\d+)?e-6 /m);
    expect(stdout).toMatch(/^1 of [\d,]+ cells differ\n$/m);
    expect(stderr).toBe("");
    expect(code).toBe(1);
  });

  it.skipIf(!hasPseudoTerminal)("shows no more columns than fit on the terminal, and both cells in any case", () => {
    const command = `${program} check ${shifted(...ssrCell)} --baseline ${results}`;
    const headers = [100, 80, 70].map((columns) => {
      const lines = seenOnTerminal(command, folder, columns).split("\n");
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
      return lines[0].trim().split(/ +/);
    });
    const places = ["file", "router", "seed", "step", "column", "baseline", "now"];
    expect(headers).toEqual([[...places, "difference", "allowed"], [...places, "difference"], places]);
  });

  it("exits with 2 and one message where a folder holds no results", () => {
    const { code, stdout, stderr } = moesim(["check", results, "--baseline", folder]);
    expect(stderr).toBe(`moesim: ${folder}: has no summary.csv, and so no finished results of run, sweep or measure\n`);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  it("shows twenty rows, and counts the rest by file and column", async () => {
    const { code, stdout } = await check(shifted("quickstart,", "score", 0.25), results);
    expect(code).toBe(1);
    expect(stdout.match(/^ steps\.csv/gm)).toHaveLength(20);
    // Six steps of seven routers.
    expect(stdout).toMatch(/^and 22 more:\n {2}steps\.csv, score: 22$/m);
    expect(stdout).toMatch(/^42 of [\d,]+ cells differ$/m);
  });

  it("takes the tolerance of --metric for its column and that of --tolerance for others", async () => {
    const now = shifted(...ssrCell);
    const { stdout } = await check(now, results, "--metric", "max_vio=0.6");
    expect(stdout).toMatch(/agree within 1e-6, max_vio within 0\.6$/m);
    expect((await check(now, results, "--metric", "score=0.6")).code).toBe(1);
    expect((await check(now, results, "--tolerance", "0.6")).code).toBe(0);
    expect((await check(now, results, "--tolerance", "0.6", "--metric", "max_vio=0.1")).code).toBe(1);
  });

  it("prints JSON for scripts", async () => {
    const { code, stdout } = await check(shifted(...ssrCell), results, "--json");
    expect(code).toBe(1);
    const { equal, cells, differing, differences } = JSON.parse(stdout);
    expect({ equal, differing }).toEqual({ equal: false, differing: 1 });
    expect(cells).toBeGreaterThan(1000);
    expect(differences).toHaveLength(1);
    const [{ file, router, row, column, baseline, now, difference }] = differences;
    expect({ file, router, row, column }).toEqual({
      file: "steps.csv",
      router: "ssr",
      row: { scenario: "quickstart", seed: "1", step: "4" },
      column: "max_vio",
    });
    expect(now).toBe(baseline + 0.5);
    expect(difference).toBe(now - baseline);
    const equalCopy = await check(
      changed("run.json", () => "{}"),
      results,
      "--json",
    );
    expect(JSON.parse(equalCopy.stdout)).toMatchObject({ equal: true, differing: 0, differences: [] });
  });

  it("says no more than the verdict with --quiet, and that only where results differ", async () => {
    const same = changed("run.json", () => "{}");
    expect(await check(same, results, "--quiet")).toEqual({ code: 0, stdout: "", stderr: "" });
    const { code, stdout, stderr } = await check(shifted(...ssrCell), results, "--quiet");
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^1 of [\d,]+ cells differ\n$/);
  });

  it("checks the cells of a sweep", async () => {
    const now = changed("cells/2/loads.csv", (text) => text.replace(/(\d+)\n$/, "1000\n"), sweep);
    const { code, stdout } = await check(now, sweep);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^ cells\/2\/loads\.csv +topk +0 +2 +3 +load +\d+ +1000 /m);
    rmSync(path.join(now, "cells/1"), { recursive: true });
    expect((await check(now, sweep)).stdout).toMatch(/, 4 files are missing$/m);
  });

  it("checks a sweep over a size, which has a column in every run and one of the sweep", async () => {
    const tokens = temporaryFolder();
    await sweepSize("tokens", [8, 16], tokens);
    expect(
      (
        await check(
          changed("summary.csv", (text) => text, tokens),
          tokens,
        )
      ).code,
    ).toBe(0);
    const now = changed("summary.csv", (text) => text.replace(/,0\./, ",7."), tokens);
    expect((await check(now, tokens)).code).toBe(1);
  });

  it("checks the intervals of a sweep, with the tolerance of their metric", async () => {
    const now = changed("intervals.csv", (text) => text.replace(/(?<=,topk,topk,\d,1,)[^,]+/, "0.125"), sweep);
    const { code, stdout } = await check(now, sweep);
    expect(stdout).toContain("intervals.csv");
    expect(stdout).toContain("max_vio_global");
    expect(code).toBe(1);
    expect((await check(now, sweep, "--metric", "max_vio_global=1e3")).code).toBe(0);

    const seeds = [["scenario", "router", "topK", "seeds", "score", "score_ci95"]];
    const intervals = (width: string) => [
      ...seeds,
      ["s", "a", "1", "2", "0.5", width],
      ["s", "a", "2", "2", "0.5", "1"],
    ];
    const summary = summaryRows([["a", 0, "0.5"]]);
    const [wide, narrow] = ["0.25", "0.125"].map((width) =>
      resultFolder({ "summary.csv": summary, "intervals.csv": intervals(width) }),
    );
    expect(JSON.parse((await check(wide, narrow, "--json")).stdout)).toMatchObject({
      differing: 1,
      differences: [
        { file: "intervals.csv", router: "a", row: { topK: "1" }, column: "score_ci95", difference: 0.125 },
      ],
    });
    expect((await check(wide, narrow, "--metric", "score=0.2")).code).toBe(0);
  });

  it("writes a JUnit report with a test case for each router in each file", async () => {
    const report = path.join(temporaryFolder(), "check.xml");
    expect((await check(shifted(...ssrCell), results, "--junit", report)).code).toBe(1);
    const xml = readFileSync(report, "utf8");
    // Seven routers in four files.
    expect(xml).toContain('tests="28" failures="1"');
    expect(xml).toMatch(/<testcase classname="steps\.csv" name="ssr">\s*<failure [^>]*><!\[CDATA\[[^\]]*max_vio/);
    expect(listFiles(path.dirname(report))).toEqual(["check.xml"]);
  });
});

describe("moesim check, of names that are hostile,", () => {
  const names = ["\u001b[31mred", "]]>]]><x/>", "::error::forged", "line\n::warning::two", "100%25,file=x::y"];
  const [now, baseline] = ["0.75", "0.5"].map((score) =>
    resultFolder({ "summary.csv": summaryRows(names.map((name) => [name, 0, score] as const)) }),
  );

  it("shows no control character on the terminal", async () => {
    const { code, stdout } = await check(now, baseline);
    expect(code).toBe(1);
    expect(stdout).toContain("\\u{1b}[31mred");
    expect(stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  });

  it("prints no workflow command but its own", () => {
    const { stdout } = moesim(["check", now, "--baseline", baseline, "--github"]);
    const lines = stdout.trimEnd().split("\n");
    const token = /^::stop-commands::([\w-]+)$/.exec(lines[0])![1];
    const end = lines.indexOf(`::${token}::`);
    expect(end).toBeGreaterThan(names.length);
    const commands = lines.slice(end + 1);
    expect(commands).toHaveLength(names.length);
    for (const command of commands) {
      expect(command).toMatch(/^::error title=summary\.csv%3A [^:,\n]+,file=[^:,\n]+\/summary\.csv::1 difference: /);
    }
  });

  it("prints annotations by itself in a GitHub workflow, but never into JSON", async () => {
    vi.stubEnv("GITHUB_ACTIONS", "true");
    expect((await check(now, baseline)).stdout).toMatch(/^::error /m);
    expect((await check(now, baseline, "--no-github")).stdout).not.toMatch(/^::/m);
    expect(JSON.parse((await check(now, baseline, "--json")).stdout).equal).toBe(false);
    vi.stubEnv("GITHUB_ACTIONS", undefined);
    expect((await check(now, baseline)).stdout).not.toMatch(/^::/m);
  });

  it("writes JUnit reports that are well-formed", async () => {
    const report = path.join(temporaryFolder(), "check.xml");
    await check(now, baseline, "--junit", report);
    const xml = readFileSync(report, "utf8");
    // Beside attributes and tables there is nothing but the builder's own elements.
    const markup = xml.replaceAll(/<!\[CDATA\[.*?\]\]>/gs, "").replaceAll(/"[^"<]*"/g, '""');
    const elements = Array.from(markup.matchAll(/<(?!\/)([^ >]+)/g), ([, element]) => element);
    const cases = names.flatMap(() => ["testcase", "failure"]);
    expect(elements).toEqual(["?xml", "testsuites", "testsuite", ...cases]);
    expect(markup).not.toContain("]]>");
  });
});

describe("moesim check --update", () => {
  it("makes a baseline of the files that are checked", async () => {
    const baseline = path.join(temporaryFolder(), "deep/baseline");
    const { code, stdout } = await check(results, baseline, "--update");
    expect(stdout).toBe(`made ${baseline}: summary.csv, steps.csv, loads.csv, diagnostics.csv, run.json\n`);
    expect(code).toBe(0);
    expect(listFiles(baseline)).toEqual(["diagnostics.csv", "loads.csv", "run.json", "steps.csv", "summary.csv"]);
    expect((await check(results, baseline)).code).toBe(0);
  });

  it("replaces the files that the baseline has, and leaves others alone", async () => {
    const baseline = temporaryFolder();
    for (const name of ["summary.csv", "steps.csv"]) cpSync(path.join(results, name), path.join(baseline, name));
    writeFileSync(path.join(baseline, "notes.txt"), "mine");
    const now = shifted(...ssrCell);
    expect((await check(now, baseline)).code).toBe(1);
    expect((await check(now, baseline, "--update")).code).toBe(0);
    expect(listFiles(baseline)).toEqual(["notes.txt", "run.json", "steps.csv", "summary.csv"]);
    expect(readFileSync(path.join(baseline, "steps.csv"))).toEqual(readFileSync(path.join(now, "steps.csv")));
    expect((await check(now, baseline)).code).toBe(0);
  });

  it("follows a sweep that has grown, one that has shrunk, and one that is a run now", async () => {
    const baseline = path.join(temporaryFolder(), "baseline");
    for (const topK of [[1, 2], [1, 2, 3], [1]]) {
      const now = temporaryFolder();
      await sweepSize("topK", topK, now);
      expect((await check(now, baseline, "--update")).code).toBe(0);
      const cells = listFiles(path.join(baseline, "cells")).filter((name) => !name.includes(path.sep));
      expect(cells).toEqual(topK.map((_, cell) => `${cell}`));
      expect((await check(now, baseline)).code).toBe(0);
    }
    expect((await check(path.join(sweep, "cells/0"), baseline, "--update")).code).toBe(0);
    expect(listFiles(baseline)).toEqual(["run.json", "summary.csv"]);
  });

  it("replaces or removes all that describes the earlier results, of a copy of a run", () => {
    const baseline = path.join(temporaryFolder(), "baseline");
    cpSync(results, baseline, { recursive: true });
    writeFileSync(path.join(baseline, "notes.txt"), "mine");
    const now = temporaryFolder();
    const changes = ["--set", "steps=4", "tokens=32"];
    moesim(["run", projectPath("scenarios/quickstart.yaml"), ...changes, "--out", now, "--quiet"]);
    const { code, stdout } = moesim(["check", now, "--baseline", baseline, "--update"]);
    expect(stdout).toMatch(
      /: summary\.csv, steps\.csv, loads\.csv, diagnostics\.csv, run\.json; removed 1 of the earlier/,
    );
    expect(code).toBe(0);
    const expected = listFiles(now).filter((name) => name !== "timing.csv");
    expect(listFiles(baseline)).toEqual([...expected, "notes.txt"].sort());
    for (const name of expected) {
      expect(readFileSync(path.join(baseline, name))).toEqual(readFileSync(path.join(now, name)));
    }
  });

  it("replaces or removes all that describes the earlier results, of a copy of a sweep", async () => {
    const baseline = path.join(temporaryFolder(), "baseline");
    cpSync(sweep, baseline, { recursive: true });
    writeFileSync(path.join(baseline, "cells/1/notes.txt"), "mine");
    const now = temporaryFolder();
    await sweepSize("topK", [4], now);
    expect(moesim(["check", now, "--baseline", baseline, "--update"]).code).toBe(0);
    const expected = listFiles(now).filter((name) => path.basename(name) !== "timing.csv");
    expect(listFiles(baseline)).toEqual([...expected, "cells/1", "cells/1/notes.txt"].sort());
    for (const name of expected.filter((each) => each.includes("."))) {
      expect(readFileSync(path.join(baseline, name))).toEqual(readFileSync(path.join(now, name)));
    }
    expect((await check(now, baseline)).code).toBe(0);
  });

  it("refuses a cell of the baseline, which would be removed", async () => {
    const before = listFiles(sweep);
    const { code, stderr } = await check(path.join(sweep, "cells/0"), sweep, "--update");
    expect(stderr).toMatch(/cells\/0 is a cell of --baseline/);
    expect(code).toBe(2);
    expect(listFiles(sweep)).toEqual(before);
  });

  it("changes nothing where it cannot change all", async () => {
    const baseline = temporaryFolder();
    cpSync(path.join(results, "summary.csv"), path.join(baseline, "summary.csv"));
    mkdirSync(path.join(baseline, "steps.csv"));
    const before = readFileSync(path.join(baseline, "summary.csv"));
    const now = changed("summary.csv", (text) => text.replaceAll("quickstart", "other"));
    const { code, stderr } = await check(now, baseline, "--update");
    expect(stderr).toContain("steps.csv: cannot be written to");
    expect(code).toBe(2);
    expect(listFiles(baseline)).toEqual(["steps.csv", "summary.csv"]);
    expect(readFileSync(path.join(baseline, "summary.csv"))).toEqual(before);
  });

  it.each([
    ["notes.txt", "mine"],
    ["summary.csv", "month,sales\n1,2\n"],
  ])("refuses a folder that holds something else, as %s", async (name, text) => {
    const baseline = temporaryFolder();
    writeFileSync(path.join(baseline, name), text);
    const { code, stderr } = await check(results, baseline, "--update");
    expect(stderr).toMatch(/holds no results, and something else/);
    expect(code).toBe(2);
    expect(listFiles(baseline)).toEqual([name]);
    expect(readFileSync(path.join(baseline, name), "utf8")).toBe(text);
  });
});

describe("moesim check, given something wrong,", () => {
  it.each([
    [["check"], /check: a word is missing behind the command/],
    [["check", results], /baseline/],
    [["check", results, "--baseline", results, "--update"], /the same folder/],
    [["check", results, "--baseline", `${sweep}/../results`, "--update"], /the same folder/],
    [["check", `${folder}/nowhere`, "--baseline", results], /nowhere: there is no such folder/],
    [["check", results, "--baseline", `${folder}/nowhere`], /nowhere: there is no such folder/],
    [["check", folder, "--baseline", results], /has no summary\.csv/],
    [["check", results, "--baseline", sweep, "--tolerance", "-1"], /--tolerance: -1 is not allowed/],
    [["check", results, "--baseline", sweep, "--tolerance", "x"], /--tolerance: what it is given is no number/],
    [["check", results, "--baseline", sweep, "--tolerance", "1", "--tolerance", "2"], /--tolerance: is there twice/],
    [["check", results, "--baseline", sweep, "--metric", "max_vo=1"], /Did you mean "max_vio"\?/],
    [["check", results, "--baseline", sweep, "--metric", "max_vio"], /name=tolerance is expected/],
    [["check", results, "--baseline", sweep, "--json", "--github"], /--json and --github/],
    [["check", results, "--baseline", sweep, "--update", "--json"], /--update accepts/],
    [["check", results, "--baseline", `${results}/run.json`, "--update"], /run\.json: is no folder/],
    [["check", `${results}/run.json`, "--baseline", sweep], /run\.json: has no summary\.csv/],
    [["check", results, "--baseline", sweep, "--junit", `${folder}/summary.csv`], /name of a file of results/],
    [["check", results, "--baseline", sweep, "--junit", sweep], /sweep: cannot be written to/],
  ])("refuses the words %j", async (words, message) => {
    const { code, stdout, stderr } = await runInProcess(words);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^ {4}at /m);
    expect(stdout).toBe("");
    expect(code).toBe(2);
    expect(listFiles(folder).filter((name) => !name.includes(path.sep))).toEqual(["grid.json", "results", "sweep"]);
  });
});

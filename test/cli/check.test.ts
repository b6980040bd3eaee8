import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

function checkAny(now: string, baseline: string, ...words: string[]) {
  return check(now, baseline, "--fail-on", "different", ...words);
}

describe("moesim check for worse metrics", () => {
  /** A copy of the results in which a metric of the router ssr is multiplied by `factor`. */
  const scaled = (column: string, factor: number) =>
    changed("summary.csv", (text) => {
      const rows = text.split("\n").map((row) => row.split(","));
      const position = rows[0].indexOf(column);
      const scale = (row: string[]) => row.with(position, String(Number(row[position]) * factor));
      return rows.map((row) => (row[1] === "ssr" ? scale(row) : row).join(",")).join("\n");
    });

  it("exits with 0 and counts what is the same, whatever the timing and single steps", () => {
    const now = changed("timing.csv", (text) => `${text}other\n`, shifted(...ssrCell));
    const { code, stdout, stderr } = moesim(["check", now, "--baseline", results]);
    expect(stdout).toMatch(/^passed: [\d,]+ same \(tolerance 1e-6\)\n$/);
    expect(stderr).toBe("");
    expect(code).toBe(0);
  });

  it("exits with 1 and shows the metric that is worse, and with 0 if it is better", () => {
    const worse = moesim(["check", scaled("max_vio_global", 1.196), "--baseline", results, "--tolerance", "5%"]);
    expect(worse.stdout).toMatch(
      /^ worse +summary\.csv +ssr +max_vio_global +[\d.]+ +[\d.]+ +\+[\d.]+ \(\+19\.6 %\) /m,
    );
    expect(worse.stdout).toMatch(/^failed: 1 worse, [\d,]+ same \(tolerance 5%\)$/m);
    expect([worse.code, worse.stderr]).toEqual([1, ""]);
    const better = moesim(["check", scaled("max_vio_global", 0.784), "--baseline", results]);
    expect(better.stdout).toMatch(/^ better +summary\.csv +ssr +max_vio_global /m);
    expect(better.stdout).toMatch(/^passed: 1 better, [\d,]+ same/m);
    expect(better.code).toBe(0);
  });

  it("lists what is worse before what is not", async () => {
    const now = changed("summary.csv", (text) =>
      text.replace(/^quickstart,random,.*$/m, (row) => row.replace("random", "new")),
    );
    const copy = changed("summary.csv", (text) => text.replace(/^(quickstart,topk,(?:[^,]*,){6})[^,]*/m, "$199"), now);
    const { stdout } = await check(copy, results, "--tolerance", "1%");
    const table = stdout
      .split("\n")
      .slice(2)
      .map((line) => line.trim().split(/ +/)[0]);
    expect(table.slice(0, 3)).toEqual(["missing", "worse", "new"]);
    expect(stdout).toMatch(/^failed: 1 missing, 1 worse, 1 new, [\d,]+ same \(tolerance 1%\)$/m);
    const strict = await check(now, now, "--strict");
    expect(strict.code).toBe(0);
  });

  it("passes rows that are new, and fails them with --strict", async () => {
    const more = changed("summary.csv", (text) => text.replace(/^quickstart,random,(.*)$/m, "$&\nquickstart,other,$1"));
    expect((await check(more, results)).code).toBe(0);
    const strict = await check(more, results, "--strict");
    expect(strict.code).toBe(1);
    expect(strict.stdout).toMatch(/^ new +summary\.csv +other +1 +\(row\) /m);
    expect((await check(results, more)).code).toBe(1);
  });

  it("takes the tolerance of --metric for its column and that of --tolerance for others", async () => {
    const now = scaled("max_vio_global", 1.196);
    const { code, stdout } = await check(now, results, "--metric", "max_vio_global=20%", "score=0.5");
    expect(stdout).toMatch(/^passed: [\d,]+ same \(tolerance 1e-6, max_vio_global 20%, score 0\.5\)$/m);
    expect(code).toBe(0);
    const twice = ["--metric", "score=0.5", "--metric", "max_vio_global=0.9"];
    expect((await check(now, results, ...twice)).code).toBe(0);
    expect((await check(now, results, "--tolerance", "20%", "--metric", "max_vio_global=0.1")).code).toBe(1);
  });

  it("keeps a gate, without a baseline and with one", async () => {
    const gate = path.join(temporaryFolder(), "gate.yaml");
    const withGate = (text: string, ...words: string[]) => {
      writeFileSync(gate, text);
      return runInProcess(["check", results, "--gate", gate, ...words]);
    };
    const kept = await withGate("- {metric: max_vio_global, router: ssr, max: 100}");
    expect(kept.stdout).toMatch(/^ kept +ssr +max_vio_global +– +[\d.]+ +max 100 *$/m);
    expect(kept.stdout).toMatch(/^passed: gate: 1 kept, 0 broken$/m);
    expect(kept.code).toBe(0);
    const limits = "- {metric: max_vio_global, router: ssr, max: 0.01}\n- {metric: score, worse-by: 1%}\n";
    const broken = await withGate(limits, "--baseline", results, "--json");
    expect(broken.code).toBe(1);
    expect(JSON.parse(broken.stdout)).toMatchObject({
      passed: false,
      counts: { worse: 0 },
      findings: [],
      gate: [
        { entry: 1, metric: "max_vio_global", bound: "max", router: "ssr", allowed: 0.01, passed: false },
        ...Array(7).fill({ entry: 2 }),
      ],
    });
    const report = path.join(temporaryFolder(), "check.xml");
    const words = ["--baseline", results, "--junit", report, "--github"];
    const { stdout } = await withGate(limits, ...words);
    expect(stdout).toMatch(
      /^::error title=gate%3A max_vio_global of ssr%3A max 0\.01,file=.*gate\.yaml::broken: ssr: /m,
    );
    expect(stdout.match(/^::(error|notice)/gm)).toHaveLength(1);
    const xml = readFileSync(report, "utf8");
    // Seven routers of summary.csv, one limit, and the score of seven.
    expect(xml).toContain('tests="15" failures="1"');
    expect(xml).toMatch(/<testcase classname="gate" name="ssr: max_vio_global: max 0\.01">\s*<failure /);
  });

  it("refuses standard errors of a single seed, and takes them of several", async () => {
    const { code, stderr } = await check(results, results, "--tolerance", "2se");
    expect(stderr).toMatch(
      /^moesim: summary\.csv: router "topk" has a single seed in both folders, and the tolerance 2se /,
    );
    expect(code).toBe(2);
    const seeds = (shift: number) =>
      resultFolder({
        "summary.csv": summaryRows(
          [1, 2, 3].map((seed) => ["a", seed, String(0.5 + (shift * (seed - 1.5)) / 4)] as const),
        ),
      });
    // Changes of 0.125, −0.125 and −0.375: mean −0.125, standard error 0.144.
    expect((await check(seeds(-1), seeds(0), "--tolerance", "2se")).code).toBe(0);
    expect((await check(seeds(-1), seeds(0), "--tolerance", "0.5se")).code).toBe(1);
  });
});

describe("moesim check --fail-on different", () => {
  it("exits with 0 and counts the cells that are the same, whatever the timing", async () => {
    const now = changed("timing.csv", (text) => `${text}other\n`);
    const { code, stdout, stderr } = await runInProcess([
      "check",
      now,
      "--baseline",
      results,
      "--fail-on",
      "different",
    ]);
    expect(stdout).toMatch(/^passed: \d,\d+ same \(tolerance 1e-6\)\n$/);
    expect(stderr).toBe("");
    expect(code).toBe(0);
  });

  it("exits with 1 and shows the cell that differs, whichever way", async () => {
    const differing = await checkAny(shifted(...ssrCell), results);
    expect(differing.stdout).toMatch(/^ worse +steps\.csv +ssr +1 +4 +max_vio +[\d.]+ +[\d.]+ +\+0\.5 \(.*\) +1e-6 /m);
    expect(differing.stdout).toMatch(/^failed: 1 worse, [\d,]+ same/m);
    expect([differing.code, differing.stderr]).toEqual([1, ""]);
    const better = await checkAny(results, shifted(...ssrCell));
    expect(better.stdout).toMatch(/^ better +steps\.csv +ssr +1 +4 +max_vio /m);
    expect(better.code).toBe(1);
  });

  it.skipIf(!hasPseudoTerminal)("shows no more columns than fit on the terminal, and both cells in any case", () => {
    const command = `${program} check ${shifted(...ssrCell)} --baseline ${results} --fail-on different`;
    const headers = [120, 90, 75].map((columns) => {
      const lines = seenOnTerminal(command, folder, columns).split("\n");
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
      return lines[0].trim().split(/ +/);
    });
    const places = ["verdict", "file", "router", "seed", "step", "column", "baseline", "now"];
    expect(headers).toEqual([[...places, "change", "allowed"], [...places, "change"], places]);
  });

  it("exits with 2 and one message where a folder holds no results", () => {
    const { code, stdout, stderr } = moesim(["check", results, "--baseline", folder]);
    expect(stderr).toBe(`moesim: ${folder}: has no summary.csv, and so no finished results of run, sweep or measure\n`);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  it("shows twenty rows, and counts the rest by file and column", async () => {
    const { code, stdout } = await checkAny(shifted("quickstart,", "score", 0.25), results);
    expect(code).toBe(1);
    expect(stdout.match(/^ better +steps\.csv/gm)).toHaveLength(20);
    // Six steps of seven routers.
    expect(stdout).toMatch(/^and 22 more:\n {2}steps\.csv, score: better 22$/m);
    expect(stdout).toMatch(/^failed: 42 better, [\d,]+ same/m);
  });

  it("prints JSON for scripts", async () => {
    const { code, stdout } = await checkAny(shifted(...ssrCell), results, "--json");
    expect(code).toBe(1);
    const { passed, counts, findings } = JSON.parse(stdout);
    expect(passed).toBe(false);
    expect(counts).toMatchObject({ missing: 0, worse: 1, changed: 0, new: 0, better: 0 });
    expect(counts.same).toBeGreaterThan(1000);
    expect(findings).toHaveLength(1);
    const [{ verdict, fails, file, router, row, column, baseline, now, change }] = findings;
    expect({ verdict, fails, file, router, row, column }).toEqual({
      verdict: "worse",
      fails: true,
      file: "steps.csv",
      router: "ssr",
      row: { scenario: "quickstart", seed: "1", step: "4" },
      column: "max_vio",
    });
    expect(now).toBe(baseline + 0.5);
    expect(change).toBe(now - baseline);
    const same = changed("run.json", () => "{}");
    const equal = await checkAny(same, results, "--json");
    expect(JSON.parse(equal.stdout)).toMatchObject({ passed: true, counts: { worse: 0 }, findings: [], gate: [] });
  });

  it("says no more than the verdict with --quiet, and that only if the check fails", async () => {
    const same = changed("run.json", () => "{}");
    expect(await checkAny(same, results, "--quiet")).toEqual({ code: 0, stdout: "", stderr: "" });
    const { code, stdout, stderr } = await checkAny(shifted(...ssrCell), results, "--quiet");
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^failed: 1 worse, [\d,]+ same \(tolerance 1e-6\)\n$/);
  });

  it("checks the cells of a sweep", async () => {
    const now = changed("cells/2/loads.csv", (text) => text.replace(/(\d+)\n$/, "1000\n"), sweep);
    const { code, stdout } = await checkAny(now, sweep);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^ changed +cells\/2\/loads\.csv +topk +0 +2 +3 +load +\d+ +1000 /m);
    rmSync(path.join(now, "cells/1"), { recursive: true });
    expect((await checkAny(now, sweep)).stdout).toMatch(/^failed: 4 missing, 1 changed, /m);
  });

  it("checks a sweep over a size, which has a column in every run and one of the sweep", async () => {
    const tokens = temporaryFolder();
    await sweepSize("tokens", [8, 16], tokens);
    expect(
      (
        await checkAny(
          changed("summary.csv", (text) => text, tokens),
          tokens,
        )
      ).code,
    ).toBe(0);
    const now = changed("summary.csv", (text) => text.replace(/,0\./, ",7."), tokens);
    expect((await checkAny(now, tokens)).code).toBe(1);
  });

  it("checks the intervals of a sweep, with the tolerance of their metric", async () => {
    const now = changed("intervals.csv", (text) => text.replace(/(?<=,topk,topk,\d,1,)[^,]+/, "0.125"), sweep);
    const { code, stdout } = await checkAny(now, sweep);
    expect(stdout).toContain("intervals.csv");
    expect(stdout).toContain("max_vio_global");
    expect(code).toBe(1);
    expect((await checkAny(now, sweep, "--metric", "max_vio_global=1e3")).code).toBe(0);

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
    expect(JSON.parse((await checkAny(wide, narrow, "--json")).stdout)).toMatchObject({
      counts: { changed: 1 },
      findings: [{ file: "intervals.csv", router: "a", row: { topK: "1" }, column: "score_ci95", change: 0.125 }],
    });
    expect((await checkAny(wide, narrow, "--metric", "score=0.2")).code).toBe(0);
  });

  it("writes a JUnit report with a test case for each router in each file", async () => {
    const report = path.join(temporaryFolder(), "check.xml");
    expect((await checkAny(shifted(...ssrCell), results, "--junit", report)).code).toBe(1);
    const xml = readFileSync(report, "utf8");
    // Seven routers in four files.
    expect(xml).toContain('tests="28" failures="1"');
    expect(xml).toMatch(/<testcase classname="steps\.csv" name="ssr">\s*<failure [^>]*><!\[CDATA\[[^\]]*max_vio/);
    expect(listFiles(path.dirname(report))).toEqual(["check.xml"]);
  });
});

describe("moesim check, of names that are hostile,", () => {
  const names = ["\u001b[31mred", "]]>]]><x/>", "::error::forged", "line\n::warning::two", "100%25,file=x::y"];
  const [now, baseline] = ["0.5", "0.75"].map((score) =>
    resultFolder({ "summary.csv": summaryRows(names.map((name) => [name, 0, score] as const)) }),
  );

  it("shows no control character on the terminal", async () => {
    const { code, stdout } = await check(now, baseline);
    expect(code).toBe(1);
    expect(stdout).toContain("\\u{1b}[31mred");
    expect(stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  });

  it("prints no workflow command but its own", async () => {
    const { stdout } = await runInProcess(["check", now, "--baseline", baseline, "--github"]);
    const lines = stdout.trimEnd().split("\n");
    const token = /^::stop-commands::([\w-]+)$/.exec(lines[0])![1];
    const end = lines.indexOf(`::${token}::`);
    expect(end).toBeGreaterThan(names.length);
    const commands = lines.slice(end + 1);
    expect(commands).toHaveLength(names.length);
    for (const command of commands) {
      expect(command).toMatch(/^::error title=summary\.csv%3A [^:,\n]+,file=[^:,\n]+\/summary\.csv::worse: score: /);
    }
  });

  it("prints annotations by itself in a GitHub workflow, but never into JSON", async () => {
    vi.stubEnv("GITHUB_ACTIONS", "true");
    expect((await check(now, baseline)).stdout).toMatch(/^::error /m);
    expect((await check(now, baseline, "--no-github")).stdout).not.toMatch(/^::/m);
    expect(JSON.parse((await check(now, baseline, "--json")).stdout).passed).toBe(false);
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
    expect(stdout).toBe(`created ${baseline}: summary.csv, steps.csv, loads.csv, diagnostics.csv, run.json\n`);
    expect(code).toBe(0);
    expect(listFiles(baseline)).toEqual(["diagnostics.csv", "loads.csv", "run.json", "steps.csv", "summary.csv"]);
    expect((await checkAny(results, baseline)).code).toBe(0);
  });

  it("refuses a figure that is no finite number, and options that would have no effect", async () => {
    const baseline = path.join(temporaryFolder(), "baseline");
    const [header, row] = readFileSync(path.join(results, "summary.csv"), "utf8").split("\n");
    const cells = row.split(",");
    cells[header.split(",").indexOf("score")] = "1e400";
    const huge = changed("summary.csv", (text) => text.replace(row, cells.join(",")));
    const refused = await check(huge, baseline, "--update");
    expect([refused.code, refused.stderr]).toEqual([
      2,
      expect.stringMatching(/summary.csv: row 2, score: "1e400" is not/),
    ]);
    const useless = await check(results, baseline, "--update", "--tolerance", "5%");
    expect([useless.code, useless.stderr]).toEqual([
      2,
      expect.stringContaining("--tolerance: has no effect with --update"),
    ]);
    expect(existsSync(baseline)).toBe(false);
  });

  it("replaces the files that the baseline has, and leaves others alone", async () => {
    const baseline = temporaryFolder();
    for (const name of ["summary.csv", "steps.csv"]) cpSync(path.join(results, name), path.join(baseline, name));
    writeFileSync(path.join(baseline, "notes.txt"), "mine");
    const now = shifted(...ssrCell);
    expect((await checkAny(now, baseline)).code).toBe(1);
    expect((await check(now, baseline, "--update")).code).toBe(0);
    expect(listFiles(baseline)).toEqual(["notes.txt", "run.json", "steps.csv", "summary.csv"]);
    expect(readFileSync(path.join(baseline, "steps.csv"))).toEqual(readFileSync(path.join(now, "steps.csv")));
    expect((await checkAny(now, baseline)).code).toBe(0);
  });

  it("follows a sweep that has grown, one that has shrunk, and one that is a run now", async () => {
    const baseline = path.join(temporaryFolder(), "baseline");
    for (const topK of [[1, 2], [1, 2, 3], [1]]) {
      const now = temporaryFolder();
      await sweepSize("topK", topK, now);
      expect((await check(now, baseline, "--update")).code).toBe(0);
      const cells = listFiles(path.join(baseline, "cells")).filter((name) => !name.includes(path.sep));
      expect(cells).toEqual(topK.map((_, cell) => `${cell}`));
      expect((await checkAny(now, baseline)).code).toBe(0);
    }
    expect((await check(path.join(sweep, "cells/0"), baseline, "--update")).code).toBe(0);
    expect(listFiles(baseline)).toEqual(["run.json", "summary.csv"]);
  });

  it("replaces or removes all that describes the earlier results, of a copy of a run", async () => {
    const baseline = path.join(temporaryFolder(), "baseline");
    cpSync(results, baseline, { recursive: true });
    writeFileSync(path.join(baseline, "notes.txt"), "mine");
    const now = temporaryFolder();
    const changes = ["--set", "steps=4", "tokens=32"];
    await runInProcess(["run", projectPath("scenarios/quickstart.yaml"), ...changes, "--out", now, "--quiet"]);
    const { code, stdout } = await runInProcess(["check", now, "--baseline", baseline, "--update"]);
    expect(stdout).toMatch(
      /: summary\.csv, steps\.csv, loads\.csv, diagnostics\.csv, run\.json; removed 1 of the previous/,
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
    expect((await runInProcess(["check", now, "--baseline", baseline, "--update"])).code).toBe(0);
    const expected = listFiles(now).filter((name) => path.basename(name) !== "timing.csv");
    expect(listFiles(baseline)).toEqual([...expected, "cells/1", "cells/1/notes.txt"].sort());
    for (const name of expected.filter((each) => each.includes("."))) {
      expect(readFileSync(path.join(baseline, name))).toEqual(readFileSync(path.join(now, name)));
    }
    expect((await checkAny(now, baseline)).code).toBe(0);
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
    [["check"], /check: missing <folder>; usage: moesim check <folder>/],
    [["check", results], /baseline/],
    [["check", results, "--baseline", results, "--update"], /the same folder/],
    [["check", results, "--baseline", `${sweep}/../results`, "--update"], /the same folder/],
    [["check", `${folder}/nowhere`, "--baseline", results], /nowhere: there is no such folder/],
    [["check", results, "--baseline", `${folder}/nowhere`], /nowhere: there is no such folder/],
    [["check", folder, "--baseline", results], /has no summary\.csv/],
    [["check", results, "--baseline", sweep, "--tolerance", "-1"], /--tolerance: -1 is not allowed/],
    [["check", results, "--baseline", sweep, "--tolerance", "x"], /--tolerance: x is not allowed; a number from 0 on/],
    [["check", results, "--baseline", sweep, "--fail-on", "better"], /fail-on/],
    [["check", results, "--baseline", sweep, "--tolerance", "1", "--tolerance", "2"], /--tolerance: given twice/],
    [["check", results, "--baseline", sweep, "--metric", "max_vo=1"], /Did you mean "max_vio"\?/],
    [["check", results, "--baseline", sweep, "--metric", "max_vio"], /name=tolerance is expected/],
    [["check", results, "--baseline", sweep, "--json", "--github"], /--json, --github: both print/],
    [["check", results, "--baseline", sweep, "--update", "--json"], /--update: accepts/],
    [["check", results, "--baseline", sweep, "--update", "--gate", "gate.yaml"], /--update: accepts/],
    [["check", results, "--update"], /--update: no baseline given/],
    [["check", results, "--gate", `${folder}/nowhere.yaml`], /nowhere\.yaml: no such file/],
    [["check", results, "--gate", `${folder}/grid.json`], /grid\.json: a list of entries is expected/],
    [["check", results, "--gate", `${folder}/grid.json`, "--junit", `${folder}/grid.json`], /name the same file/],
    [["check", results, "--gate", "gate.yaml", "--tolerance", "1"], /--tolerance: has no effect without a baseline/],
    [["check", results, "--gate", "gate.yaml", "--strict"], /--strict: has no effect without a baseline/],
    [["check", results, "--gate", "gate.yaml", "--fail-on", "worse"], /--fail-on: has no effect without a baseline/],
    [["check", results, "--gate", "gate.yaml", "--metric", "score=1"], /--metric: has no effect without a baseline/],
    [["check", results, "--baseline", `${results}/run.json`, "--update"], /run\.json: is no folder/],
    [["check", `${results}/run.json`, "--baseline", sweep], /run\.json: has no summary\.csv/],
    [["check", results, "--baseline", sweep, "--junit", `${folder}/summary.csv`], /name of a result file/],
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

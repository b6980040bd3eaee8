import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { drawPictures } from "../../src/core/pictures/index.ts";
import { readReportData } from "../../src/core/pictures/parts/report-data.ts";
import { routerKinds } from "../../src/core/routers/index.ts";
import { openResults } from "../../src/node/files/read-results.ts";
import { renderReport } from "../../src/page/report-page.tsx";
import { hostile, runHostileScenario } from "../support/hostile-scenario.ts";
import { moesim, projectPath, readCsv, temporaryFolder } from "../support/program.ts";

async function pageOf(folder: string): Promise<string> {
  const data = await readReportData(openResults(folder));
  return renderReport(data, drawPictures(data));
}

function run(scenario: object, command = "run"): string {
  const folder = temporaryFolder();
  const file = path.join(folder, "scenario.json");
  writeFileSync(file, JSON.stringify(scenario));
  const out = path.join(folder, "results");
  const { code, stderr } = moesim([command, file, "--quiet", "--out", out]);
  expect(stderr.replace(/^warning: .*\n/gm, "")).toBe("");
  expect(code).toBe(0);
  return out;
}

const small = {
  name: "small",
  description: "Two routers.",
  steps: 4,
  tokens: 32,
  experts: 8,
  stream: { kind: "clusters", clusters: 5 },
  routers: [{ kind: "topk" }, { kind: "alf-lb" }],
};
const smallResults = run(small);

/** The text of HTML, whose escapes are those that Preact writes. */
function unescaped(html: string): string {
  return html.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&amp;", "&");
}

/** The texts of the cells in the body of the table `id`, by row; the router's first. */
function cellsOf(page: string, id: string): string[][] {
  const [, body] = new RegExp(`<table id="${id}".*?<tbody>(.*?)</tbody>`, "s").exec(page)!;
  return Array.from(body.matchAll(/<tr[^>]*>(.*?)<\/tr>/gs), ([, row]) =>
    Array.from(row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs), ([, cell]) => unescaped(cell.replace(/<[^>]*>/g, ""))),
  );
}

describe("the page of a report", () => {
  it("has every cell of summary.csv, with its very digits", async () => {
    const folder = smallResults;
    const rows = readCsv(path.join(folder, "summary.csv")).map(({ router, regret_se, ...cells }) => [
      router,
      // The error of regret stands behind the regret that it belongs to.
      ...Object.entries(cells).flatMap(([column, cell]) => (column === "regret_mean" ? [cell, regret_se] : [cell])),
    ]);
    expect(rows[0].some((cell) => cell.length > 15)).toBe(true);
    expect(cellsOf(await pageOf(folder), "figures-table")).toEqual(rows);
  });

  it("tells what was run, from run.json and the summary", async () => {
    const page = await pageOf(smallResults);
    const facts = Object.fromEntries(
      Array.from(page.matchAll(/<dt>([^<]*)<\/dt><dd>([^<]*)<\/dd>/g), ([, name, value]) => [name, value]),
    );
    expect(page).toContain("<h1>small</h1>");
    expect(facts).toMatchObject({ Steps: "4", "Tokens in a step": "32", Experts: "8", Seed: "0" });
    expect(facts.Stream).toMatch(/^clusters \(.*clusters 5/);
    expect(facts["Score and regret in"]).toBe("softmax affinity, for all routers");
    expect(facts.Versions).toContain(`node ${process.version}`);
  });

  it("shows the means over the seeds of a sweep, and what was swept in front of its rows", async () => {
    const folder = run({ ...small, sweep: { capacityFactor: [1, 1.5] }, seeds: [1, 2, 3] }, "sweep");
    const page = await pageOf(folder);
    expect(page).not.toContain("<dt>Capacity factor</dt>");
    expect(page).toContain("<dt>Swept: capacityFactor</dt><dd>1, 1.5</dd>");
    expect(page).toContain("<dt>Seeds</dt><dd>1, 2, 3</dd>");
    const means = cellsOf(page, "summary-table");
    expect(means.map(([name, seeds]) => [name, seeds])).toEqual([
      ["topk capacityFactor=1", "3"],
      ["alf-lb capacityFactor=1", "3"],
      ["topk capacityFactor=1.5", "3"],
      ["alf-lb capacityFactor=1.5", "3"],
    ]);
    expect(means[0][2]).toMatch(/^\d+\.\d+ ± \d+\.\d+$/);
    const rows = cellsOf(page, "figures-table");
    expect(rows).toHaveLength(12);
    expect(rows.map(([, factor]) => factor)).toEqual([...Array(6).fill("1"), ...Array(6).fill("1.5")]);
  });

  it("shows no means where each router was run once, but the main metrics, rounded", async () => {
    const page = await pageOf(smallResults);
    expect(page).not.toContain("Mean over the seeds");
    const [topk] = readCsv(path.join(smallResults, "summary.csv"));
    const [row] = cellsOf(page, "summary-table");
    expect(row.slice(0, 3)).toEqual([
      "topk",
      ...["max_vio_global", "max_vio_batch_mean"].map((column) => String(Number(Number(topk[column]).toPrecision(4)))),
    ]);
  });

  it("says first what the terminal says of the routers, and last what was run and how to run it again", async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, "scenario.json");
    // An iteration is too few for any plan.
    const sinkhorn = { kind: "sinkhorn", maxIterations: 1 };
    writeFileSync(file, JSON.stringify({ ...small, routers: [...small.routers, sinkhorn] }));
    const out = path.join(folder, "results");
    const { stdout } = moesim(["run", file, "--out", out]);
    const page = await pageOf(out);
    const headings = Array.from(page.matchAll(/<h2[^>]*>([^<]*)/g), ([, text]) => text);
    expect(headings).toEqual(["Verdict", "Summary", "Pictures", "All figures", "What was run"]);
    const [, verdict] = /<h2 id="verdict">(.*?)<\/section>/s.exec(page)!;
    const sentences = Array.from(verdict.matchAll(/<p[^>]*>([^<]*)<\/p>/g), ([, text]) => unescaped(text));
    expect(sentences).toHaveLength(3);
    const printed = stdout.replace(/\s+/g, " ");
    for (const sentence of sentences.slice(0, 2)) expect(printed).toContain(sentence);
    expect(sentences[2]).toBe("Plans missed their tolerance: sinkhorn on 4 steps.");
    const facts = page.slice(page.indexOf('<h2 id="what-was-run">'));
    expect(facts).toContain("<dt>Router alf-lb</dt><dd>alf-lb (");
    const command = unescaped(/<code>(.*?)<\/code>/s.exec(facts)![1].replace(/<[^>]*>/g, ""));
    expect(command).toBe(`moesim run ${path.join(out, "run.json")}`);
    const again = path.join(folder, "again");
    expect(moesim([...command.split(" ").slice(1), "--out", again, "--quiet"]).code).toBe(0);
    expect(readFileSync(path.join(again, "summary.csv"), "utf8")).toBe(
      readFileSync(path.join(out, "summary.csv"), "utf8"),
    );
  });

  it("is made of recorded choices as well, which know neither seed nor stream", async () => {
    const folder = temporaryFolder();
    const loads = projectPath("scenarios/traces/made-loads.npy");
    moesim(["measure", "--loads", loads, "--experts", "8", "--out", folder, "--quiet"]);
    const page = await pageOf(folder);
    expect(page).toContain("<dt>Recorded file</dt>");
    expect(page).not.toMatch(/<dt>Seeds?</);
    expect(cellsOf(page, "summary-table")[0][0]).toBe("recorded");
    expect(page).toMatch(/recorded has MaxVio of a batch [\d.]+ \(0 is perfect balance\)\./);
    expect(page).not.toContain("Run it again");
  });

  it("keeps hostile names, descriptions and labels text", async () => {
    const page = await pageOf(runHostileScenario());
    // Of the page's own: styles, data and program; the labels and the description would add to them.
    expect(page.match(/<script/g)).toHaveLength(2);
    expect(page.match(/<\/script/g)).toHaveLength(2);
    expect(page.match(/<style/g)).toHaveLength(1);
    expect(page).not.toContain("<img");
    expect(page).not.toContain("<!-- ");
    expect(page).not.toContain("\u2028<");
    expect(cellsOf(page, "figures-table").map(([router]) => router)).toEqual(hostile.labels);
    const [, data] = /<script type="application\/json"[^>]*>(.*?)<\/script>/s.exec(page)!;
    expect(data).not.toMatch(/[<\u2028\u2029]/);
    const {
      pictures: [picture],
    } = JSON.parse(data);
    expect(JSON.stringify(picture.option)).toContain(JSON.stringify(hostile.labels[0]).slice(1, -1));
  });

  it("allows its own script by the hash of what browsers read, and nothing else", async () => {
    const page = await pageOf(smallResults);
    const [, script] = /<script>(.*?)<\/script>/s.exec(page)!;
    // Browsers read every end of a line as a line feed, before they hash.
    const hash = createHash("sha256").update(script.replace(/\r\n?/g, "\n")).digest("base64");
    const [, policy] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page)!;
    expect(policy.replaceAll("&#39;", "'")).toBe(
      `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`,
    );
    expect(page.indexOf("Content-Security-Policy")).toBeLessThan(page.indexOf("<script"));
  });

  it("names the licences of the libraries that it passes on", () => {
    const script = readFileSync(projectPath("build/report-page.js"), "utf8");
    for (const name of ["echarts: NOTICE", "echarts: LICENSE", "zrender: LICENSE", "tslib: LICENSE.txt"]) {
      expect(script).toContain(`/*! ${name}`);
    }
  });

  it("ships the licences of what it bundles besides", () => {
    for (const [file, names] of [
      ["charts.js", ["echarts: NOTICE", "zrender: LICENSE"]],
      ["pdf.js", ["pdfkit: LICENSE", "svg-to-pdfkit: LICENSE", "@swc/helpers: LICENSE"]],
    ] as const) {
      const script = readFileSync(projectPath(`build/${file}`), "utf8");
      for (const name of names) expect(script).toContain(`/*! ${name}`);
    }
    expect(readFileSync(projectPath("build/fonts/LICENSE"), "utf8")).toContain("Bitstream Vera");
  });

  // More steps and experts than pictures have points for: larger runs make no larger pages.
  it("stays below 3 MB for every router over 700 steps and 64 experts", async () => {
    const folder = run({
      ...small,
      steps: 700,
      tokens: 16,
      experts: 64,
      regret: { every: 50 },
      // Columns of so few tokens are hard to plan: to converge would take scot a minute.
      routers: routerKinds.map(({ kind }) => (kind === "scot" ? { kind, sparsity: "tokens" } : { kind })),
    });
    expect(Buffer.byteLength(await pageOf(folder))).toBeLessThan(3e6);
  });
});

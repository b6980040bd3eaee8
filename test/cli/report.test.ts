import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { PNG } from "pngjs";
import { beforeAll, describe, expect, it } from "vitest";
import { themes } from "../../src/core/pictures/parts/theme.ts";
import { listFiles, moesim, projectPath, readCsv, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

/** A fresh folder of results to write into: what `measure` says of recorded loads. */
async function measured(): Promise<string> {
  const folder = path.join(temporaryFolder(), "results");
  const loads = projectPath("scenarios/traces/made-loads.npy");
  expect((await runInProcess(["measure", "--loads", loads, "--experts", "8", "--quiet", "--out", folder])).code).toBe(
    0,
  );
  return folder;
}

describe("moesim report", () => {
  let results: string;
  beforeAll(async () => {
    results = await measured();
  });

  it("writes the page beside the results, and says what its pictures show", () => {
    const { code, stdout, stderr } = moesim(["report", results]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toContain("MaxVio over the steps: ");
    expect(stdout).toContain(`Written to ${path.join(results, "report.html")}\n`);
    expect(readFileSync(path.join(results, "report.html"), "utf8")).toMatch(/^<!doctype html>\n<html lang="en">/);
    expect(moesim(["report", results, "--quiet"])).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("writes the pictures as SVG and PNG in the theme asked for, and prints where as JSON", async () => {
    const folder = temporaryFolder();
    const [out, svg, png] = ["page.html", "vector", "dots"].map((name) => path.join(folder, name));
    const words = ["--out", out, "--svg", svg, "--png", png, "--theme", "dark", "--json"];
    const { code, stdout } = await runInProcess(["report", results, ...words]);
    expect(code).toBe(0);
    const written = JSON.parse(stdout);
    expect(written.out).toBe(out);
    expect(written.pictures.length).toBeGreaterThan(0);
    const [picture] = written.pictures;
    expect(picture).toEqual({
      id: "max-vio",
      title: "MaxVio over the steps",
      finding: expect.stringContaining("recorded"),
      svg: path.join(svg, "max-vio.svg"),
      png: path.join(png, "max-vio.png"),
    });
    expect(readFileSync(picture.svg, "utf8")).toContain(`fill="${themes.dark.background}"`);
    const { width, data } = PNG.sync.read(readFileSync(picture.png));
    expect(width).toBe(2 * 960);
    expect(`#${data.subarray(0, 3).toString("hex")}`).toBe(themes.dark.background);
    expect(listFiles(svg)).toEqual(written.pictures.map(({ id }: { id: string }) => `${id}.svg`).sort());
  });

  it("writes PDF of the width and the size of text that are asked for, with text as text, and the same bytes again", () => {
    const folder = temporaryFolder();
    const [first, second] = ["first", "second"].map((name) => path.join(folder, name));
    const words = ["--width", "320", "--font-size", "10", "--picture", "load-curves", "--picture", "loads", "--quiet"];
    for (const pdf of [first, second]) {
      expect(moesim(["report", results, ...words, "--out", path.join(folder, "page.html"), "--pdf", pdf])).toEqual({
        code: 0,
        stdout: "",
        stderr: "",
      });
    }
    expect(listFiles(first)).toEqual(["load-curves.pdf", "loads.pdf"]);
    const bytes = readFileSync(path.join(first, "load-curves.pdf"));
    expect(bytes.equals(readFileSync(path.join(second, "load-curves.pdf")))).toBe(true);
    // 320 pixels at 96 to the inch are 240 points.
    expect(bytes.toString("latin1")).toMatch(/\/MediaBox \[0 0 240 [\d.]+\]/);
    expect(bytes.toString("latin1")).toMatch(/\+DejaVuSans/);
    expect(bytes.toString("latin1")).not.toContain("/Subtype /Image");
  });

  it.skipIf(spawnSync("pdftotext", ["-v"]).error !== undefined)(
    "writes PDF in which the titles of axes are found (skipped without pdftotext)",
    async () => {
      const folder = temporaryFolder();
      expect(
        (await runInProcess(["report", results, "--quiet", "--out", path.join(folder, "p.html"), "--pdf", folder]))
          .code,
      ).toBe(0);
      const textOf = (name: string) =>
        spawnSync("pdftotext", [path.join(folder, name), "-"], { encoding: "utf8" }).stdout;
      expect(textOf("load-curves.pdf")).toContain("share of the experts, least loaded first");
      expect(textOf("max-vio.pdf")).toMatch(/MaxVio[\s\S]*step/);
      expect(textOf("loads.pdf")).toContain("idle: no token");
    },
  );

  it("writes SVG and PNG of the width and the size of text that are asked for", async () => {
    const folder = temporaryFolder();
    const words = ["--out", path.join(folder, "p.html"), "--svg", folder, "--png", folder, "--picture", "load-curves"];
    expect(
      (await runInProcess(["report", results, ...words, "--width", "480", "--font-size", "18", "--quiet"])).code,
    ).toBe(0);
    expect(listFiles(folder).filter((name) => !name.endsWith(".html"))).toEqual(["load-curves.png", "load-curves.svg"]);
    const svg = readFileSync(path.join(folder, "load-curves.svg"), "utf8");
    // Text of 12 pixels is half as large again.
    expect(svg).toMatch(/^<svg role="img" aria-label="[^"]*" width="480" height="[\d.]+"[^>]* viewBox="0 0 320 \d+"/);
    expect(svg).toContain("font-size:12px");
    expect(PNG.sync.read(readFileSync(path.join(folder, "load-curves.png"))).width).toBe(960);
  });

  it("draws the metric that is asked for over the steps, in the page, too", async () => {
    const folder = temporaryFolder();
    const out = path.join(folder, "p.html");
    const { pictures } = JSON.parse(
      (await runInProcess(["report", results, "--metric", "load_entropy", "--out", out, "--json"])).stdout,
    );
    expect(pictures[0]).toMatchObject({ id: "load-entropy", title: "Load entropy over the steps" });
    expect(pictures.map(({ id }: { id: string }) => id)).not.toContain("max-vio");
    const values = readCsv(path.join(results, "steps.csv")).map(({ load_entropy }) => Number(load_entropy));
    const average = values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(pictures[0].finding).toContain(` is ${Number(average.toPrecision(3))} for recorded.`);
    expect(readFileSync(out, "utf8")).toContain("Load entropy over the steps");
  });

  it.each([
    [["--picture", "max-voi", "--svg", "x"], /--picture max-voi: .*Did you mean "max-vio"\? Allowed: max-vio, loads/],
    [["--picture", "max-vio"], /--picture: .*--svg, --png or --pdf/],
    [
      ["--width", "300"],
      /--width: sets the width of images, but none are written; name a folder for them with --svg, --png or --pdf/,
    ],
    [["--font-size", "10"], /--font-size: .*--svg, --png or --pdf/],
    [["--theme", "dark"], /--theme: .*--svg, --png or --pdf/],
    [["--metric", "load_entrpy"], /--metric load_entrpy: .*Did you mean "load_entropy"\? Allowed: max_vio, /],
    [["--metric", "churn"], /--metric churn: the column has no values in /],
    [["--width", "100"], /--width 100: .*a width from 240 to 4000/],
    [["--width", "400", "--font-size", "40"], /--width 400: is not allowed with --font-size 40/],
    [["--font-size", "0"], /--font-size: 0 is not allowed/],
  ])("refuses %j and says what is allowed", async (words, message) => {
    const folder = temporaryFolder();
    const { code, stderr } = await runInProcess(["report", results, "--out", path.join(folder, "p.html"), ...words]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(listFiles(folder)).toEqual([]);
  });

  it("says that a metric is not known where its cells are empty", async () => {
    const folder = await measured();
    const file = path.join(folder, "summary.csv");
    const [header, row] = readFileSync(file, "utf8").trimEnd().split("\n");
    const position = header.split(",").indexOf("max_vio_batch_mean");
    const cells = row.split(",").map((cell, at) => (at === position ? "" : cell));
    writeFileSync(file, `${header}\n${cells.join(",")}\n`);
    const { code, stdout, stderr } = await runInProcess(["report", folder]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toContain("MaxVio, mean over the steps, is not known.");
  });

  it("draws a sweep some of whose cells lack files, and says on the page which", async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, "sweep.json");
    const sweep = {
      name: "holes",
      steps: 3,
      tokens: 16,
      experts: 4,
      stream: { kind: "gaussian" },
      routers: [{ kind: "topk" }, { kind: "alf-lb" }],
      sweep: { topK: [1, 2] },
    };
    writeFileSync(file, JSON.stringify(sweep));
    const out = path.join(folder, "out");
    expect((await runInProcess(["sweep", file, "--out", out, "--quiet"])).code).toBe(0);
    const pageText = () => readFileSync(path.join(out, "report.html"), "utf8");
    expect((await runInProcess(["report", out])).code).toBe(0);
    expect(pageText()).not.toContain("Missing:");
    const { stdout } = await runInProcess(["sweep", file, "--out", out, "--resume"]);
    const command = stdout.split("\n").find((line) => line.startsWith("  moesim run "))!;
    // Each word of a command is kept on one line.
    expect(pageText().replaceAll(/<\/?span>/g, "")).toContain(`<code>${command.trim()}</code>`);
    for (const name of ["0/steps.csv", "0/timing.csv", "1/loads.csv", "1/run.json", "1/timing.csv"])
      rmSync(path.join(out, "cells", name));
    const { code, stderr } = await runInProcess(["report", out, "--max-vio", "3"]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(pageText()).toContain(
      "Missing: cells/0/steps.csv, cells/0/timing.csv, cells/1/loads.csv, cells/1/run.json and cells/1/timing.csv.",
    );
    expect(pageText()).toContain("without timing.csv the cheapest is unknown");
    rmSync(path.join(out, "cells/1/summary.csv"));
    const broken = await runInProcess(["report", out]);
    expect(broken).toMatchObject({ code: 2, stdout: "" });
    expect(broken.stderr).toMatch(/cells\/1\/summary\.csv/);
  });

  it("leaves files out of the JSON that were not asked for", async () => {
    const { pictures } = JSON.parse((await runInProcess(["report", results, "--json"])).stdout);
    expect(Object.keys(pictures[0])).toEqual(["id", "title", "finding"]);
  });

  it("shows no control character of a scenario's name, and names a folder of pictures once", async () => {
    const folder = await measured();
    for (const file of ["summary.csv", "steps.csv", "loads.csv", "diagnostics.csv"]) {
      const text = readFileSync(path.join(folder, file), "utf8");
      writeFileSync(path.join(folder, file), text.replaceAll("made-loads", "evil\u001b[2Jname"));
    }
    const pictures = path.join(folder, "pictures");
    const { code, stdout } = await runInProcess(["report", folder, "--svg", pictures, "--png", pictures]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^evil\\u\{1b\}\[2Jname\n/);
    expect(stdout).not.toContain("\u001b");
    expect(stdout.split(pictures).length).toBe(2);
  });

  it("writes the same bytes again", async () => {
    const page = path.join(results, "report.html");
    await runInProcess(["report", results, "--quiet"]);
    const first = readFileSync(page);
    await runInProcess(["report", results, "--quiet"]);
    expect(readFileSync(page).equals(first)).toBe(true);
  });

  it("leaves an earlier page as it was where the results are broken, and nothing half-written", async () => {
    const folder = await measured();
    writeFileSync(path.join(folder, "report.html"), "old");
    const before = listFiles(folder);
    appendFileSync(path.join(folder, "steps.csv"), 'loads,recorded,,"32,');
    const { code, stderr } = await runInProcess(["report", folder, "--svg", path.join(folder, "svg")]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/steps\.csv: cannot be read as CSV/);
    expect(listFiles(folder)).toEqual(before);
    expect(readFileSync(path.join(folder, "report.html"), "utf8")).toBe("old");
  });

  it("follows a link to where the page is kept", async () => {
    const folder = temporaryFolder();
    const page = path.join(folder, "page.html");
    writeFileSync(page, "old");
    symlinkSync(page, path.join(folder, "link.html"));
    expect((await runInProcess(["report", results, "--out", path.join(folder, "link.html")])).code).toBe(0);
    expect(readFileSync(page, "utf8")).toMatch(/^<!doctype html>/);
  });

  it("refuses a folder that is not there, or holds no results", async () => {
    const folder = temporaryFolder();
    const missing = await runInProcess(["report", path.join(folder, "nowhere")]);
    expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining("there is no such folder") });
    const empty = await runInProcess(["report", folder]);
    expect(empty).toMatchObject({ code: 2, stderr: expect.stringContaining("has no summary.csv") });
    expect(listFiles(folder)).toEqual([]);
  });

  it("refuses to replace the results by their report, also through a link", async () => {
    const link = path.join(temporaryFolder(), "link");
    symlinkSync(results, link);
    for (const out of [path.join(results, "summary.csv"), path.join(link, "steps.csv")]) {
      const before = readFileSync(out);
      const { code, stderr } = await runInProcess(["report", results, "--out", out]);
      expect(code).toBe(2);
      expect(stderr).toMatch(/--out and the results in \S+ name the same file/);
      expect(readFileSync(out).equals(before)).toBe(true);
    }
  });

  it("refuses a folder in the place of the page, and a theme it does not have", async () => {
    const folder = path.join(temporaryFolder(), "page.html");
    mkdirSync(folder);
    expect(await runInProcess(["report", results, "--out", folder])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("it is no regular file"),
    });
    expect(await runInProcess(["report", results, "--out", `${folder}/new/`])).toMatchObject({ code: 2 });
    expect(existsSync(path.join(folder, "new"))).toBe(false);
    const { code, stderr } = await runInProcess(["report", results, "--theme", "sepia"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/light.*dark/);
  });
});

import { appendFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { PNG } from "pngjs";
import { beforeAll, describe, expect, it } from "vitest";
import { themes } from "../../src/report/pictures/theme.ts";
import { listFiles, moesim, projectPath, temporaryFolder } from "../support/program.ts";

/** A fresh folder of results to write into: what `measure` says of recorded loads. */
function measured(): string {
  const folder = path.join(temporaryFolder(), "results");
  const loads = projectPath("scenarios/traces/mixtral-8x7b-instruct-loads.npy");
  expect(moesim(["measure", "--loads", loads, "--experts", "8", "--quiet", "--out", folder]).code).toBe(0);
  return folder;
}

describe("moesim report", () => {
  let results: string;
  beforeAll(() => {
    results = measured();
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

  it("writes the pictures as SVG and PNG in the theme asked for, and prints where as JSON", () => {
    const folder = temporaryFolder();
    const [out, svg, png] = ["page.html", "vector", "dots"].map((name) => path.join(folder, name));
    const words = ["--out", out, "--svg", svg, "--png", png, "--theme", "dark", "--json"];
    const { code, stdout } = moesim(["report", results, ...words]);
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

  it("leaves files out of the JSON that were not asked for", () => {
    const { pictures } = JSON.parse(moesim(["report", results, "--json"]).stdout);
    expect(Object.keys(pictures[0])).toEqual(["id", "title", "finding"]);
  });

  it("shows no control character of a scenario's name, and names a folder of pictures once", () => {
    const folder = measured();
    for (const file of ["summary.csv", "steps.csv", "loads.csv", "diagnostics.csv"]) {
      const text = readFileSync(path.join(folder, file), "utf8");
      writeFileSync(path.join(folder, file), text.replaceAll("mixtral-8x7b-instruct-loads", "evil\u001b[2Jname"));
    }
    const pictures = path.join(folder, "pictures");
    const { code, stdout } = moesim(["report", folder, "--svg", pictures, "--png", pictures]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^evil\\u\{1b\}\[2Jname\n/);
    expect(stdout).not.toContain("\u001b");
    expect(stdout.split(pictures).length).toBe(2);
  });

  it("writes the same bytes again", () => {
    const page = path.join(results, "report.html");
    moesim(["report", results, "--quiet"]);
    const first = readFileSync(page);
    moesim(["report", results, "--quiet"]);
    expect(readFileSync(page).equals(first)).toBe(true);
  });

  it("leaves an earlier page as it was where the results are broken, and nothing half-written", () => {
    const folder = measured();
    writeFileSync(path.join(folder, "report.html"), "old");
    const before = listFiles(folder);
    appendFileSync(path.join(folder, "steps.csv"), 'loads,recorded,,"32,');
    const { code, stderr } = moesim(["report", folder, "--svg", path.join(folder, "svg")]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/steps\.csv: cannot be read as CSV/);
    expect(listFiles(folder)).toEqual(before);
    expect(readFileSync(path.join(folder, "report.html"), "utf8")).toBe("old");
  });

  it("follows a link to where the page is kept", () => {
    const folder = temporaryFolder();
    const page = path.join(folder, "page.html");
    writeFileSync(page, "old");
    symlinkSync(page, path.join(folder, "link.html"));
    expect(moesim(["report", results, "--out", path.join(folder, "link.html")]).code).toBe(0);
    expect(readFileSync(page, "utf8")).toMatch(/^<!doctype html>/);
  });

  it("refuses a folder that is not there, or holds no results", () => {
    const folder = temporaryFolder();
    const missing = moesim(["report", path.join(folder, "nowhere")]);
    expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining("there is no such folder") });
    const empty = moesim(["report", folder]);
    expect(empty).toMatchObject({ code: 2, stderr: expect.stringContaining("has no summary.csv") });
    expect(listFiles(folder)).toEqual([]);
  });

  it("refuses to replace the results by their report, also through a link", () => {
    const link = path.join(temporaryFolder(), "link");
    symlinkSync(results, link);
    for (const out of [path.join(results, "summary.csv"), path.join(link, "steps.csv")]) {
      const before = readFileSync(out);
      const { code, stderr } = moesim(["report", results, "--out", out]);
      expect(code).toBe(2);
      expect(stderr).toMatch(/--out and the results in \S+ name the same file/);
      expect(readFileSync(out).equals(before)).toBe(true);
    }
  });

  it("refuses a folder in the place of the page, and a theme it does not have", () => {
    const folder = path.join(temporaryFolder(), "page.html");
    mkdirSync(folder);
    expect(moesim(["report", results, "--out", folder])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("it is no regular file"),
    });
    expect(moesim(["report", results, "--out", `${folder}/new/`])).toMatchObject({ code: 2 });
    expect(existsSync(path.join(folder, "new"))).toBe(false);
    const { code, stderr } = moesim(["report", results, "--theme", "sepia"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/light.*dark/);
  });
});

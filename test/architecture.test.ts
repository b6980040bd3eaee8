import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import { expect, it } from "vitest";
import { projectPath } from "./support/program.ts";

/** The rooms of `src`, from the ground up. A file may import from its own room and from those before it. */
const rooms = [
  "core",
  "tensors",
  "kernels",
  "transport",
  "metrics",
  "routers",
  "streams",
  "scenario",
  "report",
  "engine",
  "library",
  "cli",
] as const;
const source = projectPath("src");

function importsOf(file: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(file, "utf8"));
  return importedFiles
    .map(({ fileName }) => fileName)
    .filter((name) => name.startsWith("."))
    .map((name) => path.relative(source, path.resolve(path.dirname(file), name)));
}

function roomOf(file: string): number {
  return rooms.indexOf(file.split(path.sep)[0] as (typeof rooms)[number]);
}

const files = readdirSync(source, { recursive: true, encoding: "utf8" })
  .filter((file) => /\.tsx?$/.test(file) && file.includes(path.sep) && !file.includes("assembly"))
  .sort();

it("has every source file in a room of its own kind", () => {
  expect(files.length).toBeGreaterThan(40);
  expect(files.filter((file) => roomOf(file) < 0)).toEqual([]);
});

it("imports one way only: from scenario to report, never back", () => {
  const upward = files.flatMap((file) =>
    importsOf(path.join(source, file))
      .filter((imported) => imported.includes(path.sep) && roomOf(imported) > roomOf(file))
      .map((imported) => `${file} → ${imported}`),
  );
  expect(upward).toEqual([]);
});

it("keeps routers and streams apart: neither imports the other", () => {
  const across = files.flatMap((file) =>
    importsOf(path.join(source, file))
      .filter((imported) => file.startsWith("streams") && imported.startsWith("routers"))
      .map((imported) => `${file} → ${imported}`),
  );
  expect(across).toEqual([]);
});

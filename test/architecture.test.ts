import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import { expect, it } from "vitest";
import { projectPath } from "./support/program.ts";

/** The rooms of `src`, and those that a file of each may import from. */
const mayImport = {
  core: ["core"],
  node: ["core", "node"],
  page: ["core", "page"],
  cli: ["core", "node", "page", "cli"],
} as const;
type Room = keyof typeof mayImport;

/** The floors of the core, from the ground up. A file may import from its own floor and from those before it. */
const floors = [
  "kernels",
  "transport",
  "placement",
  "metrics",
  "routers",
  "formats",
  "streams",
  "scenario",
  "simulation",
  "results",
  "diagnosis",
  "pictures",
  "library",
] as const;

const source = projectPath("src");

const files = readdirSync(source, { recursive: true, encoding: "utf8" })
  .map((file) => file.split(path.sep).join("/"))
  .filter((file) => /\.tsx?$/.test(file) && file.includes("/") && !file.includes("/assembly/"))
  .sort();

/** What `file` imports: paths from `src` for our own files, `node:` modules as they are. */
function importsOf(file: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(path.join(source, file), "utf8"));
  return importedFiles
    .map(({ fileName }) => fileName)
    .filter((name) => name.startsWith(".") || name.startsWith("node:"))
    .map((name) => (name.startsWith(".") ? path.posix.join(path.posix.dirname(file), name) : name));
}

function roomOf(file: string): Room {
  return file.split("/")[0] as Room;
}

function floorOf(file: string): number {
  return floors.indexOf(file.split("/")[1] as (typeof floors)[number]);
}

/** The imports for which `isOut` holds, each with the number of files that have it. */
function countImports(isOut: (file: string, imported: string) => boolean): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const file of files) {
    for (const imported of new Set(importsOf(file).filter((name) => isOut(file, name)))) {
      counts[imported] = (counts[imported] ?? 0) + 1;
    }
  }
  return counts;
}

function leaves(room: Room): (file: string, imported: string) => boolean {
  return (file, imported) => {
    if (roomOf(file) !== room) return false;
    if (imported.startsWith("node:")) return room === "core";
    return imported.includes("/") && !(mayImport[room] as readonly string[]).includes(roomOf(imported));
  };
}

it("has every source file in a room", () => {
  expect(files.length).toBeGreaterThan(200);
  expect(files.filter((file) => !(roomOf(file) in mayImport))).toEqual([]);
});

it("lets the core import nothing else", () => {
  expect(countImports(leaves("core"))).toEqual({});
});

it("lets pages import the core alone", () => {
  expect(countImports(leaves("page"))).toEqual({});
});

it("lets nothing import the command line", () => {
  expect(countImports(leaves("node"))).toEqual({});
  expect(countImports(leaves("cli"))).toEqual({});
});

it("imports one way only within the core", () => {
  const upward = countImports(
    (file, imported) => roomOf(file) === "core" && imported.startsWith("core/") && floorOf(imported) > floorOf(file),
  );
  expect(upward).toEqual({});
});

it("keeps routers and streams apart: neither imports the other", () => {
  const across = countImports((file, imported) => {
    const rooms = [floorOf(file), floorOf(imported)].map((floor) => floors[floor]);
    return imported.startsWith("core/") && rooms.includes("streams") && rooms.includes("routers");
  });
  expect(across).toEqual({});
});

it("keeps the constants that are written when the program is built current", () => {
  const script = projectPath("src/node/write-constants.mjs");
  const { status, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});

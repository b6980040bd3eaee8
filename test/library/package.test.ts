import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { projectPath, temporaryFolder } from "../support/program.ts";

const manifest = JSON.parse(readFileSync(projectPath("package.json"), "utf8"));

/** The package as it would be installed, beside its dependencies, in a fresh project. */
function install(): { folder: string; files: string[] } {
  const folder = temporaryFolder();
  const words = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
  const { stdout } = spawnSync("npm", words, { cwd: projectPath(), encoding: "utf8" });
  const [{ filename, files }]: { filename: string; files: { path: string }[] }[] = JSON.parse(stdout);
  const target = path.join(folder, "node_modules/moesim");
  mkdirSync(target, { recursive: true });
  spawnSync("tar", ["-xzf", path.join(folder, filename), "-C", target, "--strip-components", "1"]);
  symlinkSync(projectPath("node_modules"), path.join(target, "node_modules"), "dir");
  return { folder, files: files.map((file) => file.path) };
}

const { folder, files } = install();

it("packs the program, the kernels, the scenarios and the library's pages, and neither sources nor tests", () => {
  const named = [manifest.bin.moesim, manifest.exports["."].types, manifest.exports["."].default];
  const expected = [
    ...named.map((file) => path.posix.normalize(file)),
    "build/kernels.wasm",
    "package.json",
    "README.md",
  ];
  expect(files).toEqual(
    expect.arrayContaining([...expected, "LICENSE", "scenarios/quickstart.yaml", "docs/library.md"]),
  );
  const rooms = new Set(files.map((file) => (file.includes("/") ? file.slice(0, file.indexOf("/")) : file)));
  const allowed = ["CHANGELOG.md", "LICENSE", "README.md", "build", "dist", "docs", "package.json", "scenarios"];
  expect(Array.from(rooms).sort()).toEqual(allowed);
  expect(files.filter((file) => file.startsWith("docs/api") || file.includes(".test."))).toEqual([]);
});

it("runs where it is installed, as a program and as a library", () => {
  const main = path.join(folder, "node_modules/moesim", manifest.bin.moesim);
  const scenario = path.join(folder, "node_modules/moesim/scenarios/trace.yaml");
  const program = spawnSync(process.execPath, [main, "validate", scenario], { cwd: folder, encoding: "utf8" });
  expect([program.status, program.stderr]).toEqual([0, ""]);
  writeFileSync(
    path.join(folder, "user.mjs"),
    `import { routers, version } from "moesim";
const router = await routers.create({ kind: "topk" }, { tokens: 1, experts: 3, topK: 1 });
console.log(version, router.route([0, 2, 1]).expert[0]);`,
  );
  const library = spawnSync(process.execPath, ["user.mjs"], { cwd: folder, encoding: "utf8" });
  expect([library.stdout.trim(), library.stderr]).toEqual([`${manifest.version} 1`, ""]);
});

it("tells a program in TypeScript its types", () => {
  writeFileSync(
    path.join(folder, "user.mts"),
    `import { simulate, type StepResult } from "moesim";
const { runs } = await simulate({ name: "x", experts: 4, stream: { kind: "gaussian" }, routers: [{ kind: "topk" }] });
export const steps: readonly StepResult[] = runs[0].steps;
// @ts-expect-error: the field's name is tokens
await simulate({ name: "x", token: 4, stream: { kind: "gaussian" }, routers: [{ kind: "topk" }] });
// @ts-expect-error: a metric is a number
export const wrong: string = runs[0].summary.maxVioGlobal;
`,
  );
  const compiler = projectPath("node_modules/typescript/bin/tsc");
  const words = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck", "user.mts"];
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...words], { cwd: folder, encoding: "utf8" });
  expect([status, stdout]).toEqual([0, ""]);
});

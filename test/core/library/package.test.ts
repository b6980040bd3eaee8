import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { projectPath, temporaryFolder } from "../../support/program.ts";

const manifest = JSON.parse(readFileSync(projectPath("package.json"), "utf8"));

/** The dependencies that npm installs with the package, without its optional peers. */
const dependencies = Object.keys(manifest.dependencies);

/** The package as npm would install it without a network: unpacked, and its dependencies beside it as links. */
function install(): { folder: string; files: string[] } {
  const folder = temporaryFolder();
  const words = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
  const { stdout } = spawnSync("npm", words, { cwd: projectPath(), encoding: "utf8" });
  const [{ filename, files }]: { filename: string; files: { path: string }[] }[] = JSON.parse(stdout);
  const target = path.join(folder, "node_modules/moesim");
  mkdirSync(target, { recursive: true });
  spawnSync("tar", ["-xzf", path.join(folder, filename), "-C", target, "--strip-components", "1"]);
  for (const name of dependencies) {
    const link = path.join(folder, "node_modules", name);
    mkdirSync(path.dirname(link), { recursive: true });
    symlinkSync(projectPath("node_modules", name), link, "dir");
  }
  return { folder, files: files.map((file) => file.path) };
}

const { folder, files } = install();

it("packs the program, the kernels, the scenarios and the library's pages, and neither sources nor tests", () => {
  const named = [manifest.bin.moesim, manifest.exports["."].types, manifest.exports["."].default];
  const expected = [
    ...named.map((file) => path.posix.normalize(file)),
    "build/kernels.wasm",
    ...["index.html", "explore.js", "explore-worker.js", "explore.css", "kernels.wasm"].map(
      (file) => `build/site/${file}`,
    ),
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

it("packs a module only if its source still exists", () => {
  const modules = files.filter((file) => file.startsWith("dist/") && file.endsWith(".js"));
  const sourceOf = (module: string) => module.replace(/^dist/, "src").replace(/\.js$/, ".ts");
  const stale = modules.filter(
    (module) => !existsSync(projectPath(sourceOf(module))) && !existsSync(projectPath(`${sourceOf(module)}x`)),
  );
  expect(modules.length).toBeGreaterThan(100);
  expect(stale).toEqual([]);
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

/** What the compiler says, without `skipLibCheck` and where the types of Node are not installed, of a file with `text`. */
function compile(
  file: string,
  text: string,
  module: "nodenext" | "bundler",
): { status: number | null; stdout: string } {
  writeFileSync(path.join(folder, file), text);
  const target = ["--target", "es2022", "--noEmit", "--strict", "--skipLibCheck", "false"];
  const resolution =
    module === "nodenext" ? ["--module", "nodenext"] : ["--module", "esnext", "--moduleResolution", "bundler"];
  const compiler = projectPath("node_modules/typescript/bin/tsc");
  const words = [compiler, ...target, ...resolution, file];
  const { status, stdout } = spawnSync(process.execPath, words, { cwd: folder, encoding: "utf8" });
  return { status, stdout };
}

const program = `import { metrics, type RouterInput, routers, simulate, type StepResult, streams, transport } from "moesim";
const routed: RouterInput[] = [
  { kind: "topk", label: "plain" },
  { kind: "alf-lb", updateRate: 0.01, scores: "sigmoid" },
  { kind: "expert-choice" },
  { kind: "ssr", epsilon: 0.5 },
];
const { runs } = await simulate({ name: "x", experts: 4, stream: { kind: "gaussian" }, routers: routed });
export const steps: readonly StepResult[] = runs[0].steps;
for (const { kind } of routers.list()) await routers.create({ kind }, { tokens: 4, experts: 8 });
const { experts } = await streams.open({ kind: "trace", path: "logits.npy" });
export const capacity = metrics.capacity({ tokens: 8, experts, topK: 1 });
export const best = transport.solveAssignment({ scores: new Float32Array(8), experts: 4, topK: 1, capacity });
`;

it.each(["nodenext", "bundler"] as const)("has types that compile strictly, libraries included: %s", (module) => {
  expect(compile(`good-${module}.mts`, program, module)).toEqual({ status: 0, stdout: "" });
});

it("has types for plugins, whose options type what create gets", () => {
  const plugin = `import { createAssignmentBuffers, defineMetric, defineRouter, defineStream, type Plugin, z } from "moesim/plugin";
const router = defineRouter({
  kind: "own", summary: "own", source: "own", options: z.strictObject({ rate: z.number().default(1) }),
  create({ shape, kernels, scores }, { rate }) {
    const assignment = createAssignmentBuffers(kernels, shape);
    const doubled: number = 2 * rate;
    // @ts-expect-error
    const text: string = rate;
    return {
      route: (batch) => {
        kernels.selectTopK(batch.logits, scores, null, batch.tokens, shape.experts, shape.topK, assignment.expert, assignment.load);
        assignment.gate.fill(doubled, text.length);
        return { assignment };
      },
      state: () => ({}),
      restore: () => undefined,
    };
  },
});
// @ts-expect-error
defineRouter({ kind: "own", summary: "own", source: "own", options: z.object({}) });
const stream = defineStream({
  kind: "own", summary: "own", source: "own", options: z.object({ scale: z.number().default(1) }),
  create: async ({ shape: { tokens, experts } }, { scale }) => ({
    next: async () => ({ step: 0, tokens, experts, logits: new Float32Array(tokens * experts).fill(scale) }),
    close: async () => undefined,
  }),
});
const metric = defineMetric({
  id: "own", label: "own", unit: "1", better: null, range: "any", bounds: () => [0, 1], definition: "own", source: "own",
  step: { file: "steps", measure: ({ load }) => load[0] },
});
export default { routers: [router], streams: [stream], metrics: [metric] } satisfies Plugin;
`;
  expect(compile("plugin.mts", plugin, "nodenext")).toEqual({ status: 0, stdout: "" });
});

it("runs a plugin where it is installed", () => {
  const main = path.join(folder, "node_modules/moesim", manifest.bin.moesim);
  const template = path.join(folder, "node_modules/moesim/docs/examples/my-plugin.mjs");
  const words = [main, "list", "routers", "--plugin", template];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { cwd: folder, encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("busy-penalty: ");
});

it("has types that refuse what a scenario does, on the line where it stands", () => {
  const wrong = [
    `await simulate({ name: "x", token: 4, stream: { kind: "gaussian" }, routers: [{ kind: "topk" }] });`,
    `export const wrong: string = (await simulate({ name: "x", stream: { kind: "gaussian" }, routers: [] })).runs[0].summary.maxVioGlobal;`,
    `await routers.create({ kind: "topkk" }, { tokens: 4, experts: 8 });`,
    `await routers.create({ kind: "alf-lb", updateRat: 0.1 }, { tokens: 4, experts: 8 });`,
    `await routers.create({ kind: "topk", updateRate: 0.1 }, { tokens: 4, experts: 8 });`,
    `await routers.create({ kind: "alf-lb", updateRate: "0.1" }, { tokens: 4, experts: 8 });`,
    `await routers.create({ kind: "expert-choice", anything: 1 }, { tokens: 4, experts: 8 });`,
    `await streams.open({ kind: "gausian" }, { experts: 4 });`,
    `await streams.open({ kind: "trace" });`,
    `await simulate({ name: "x", experts: 4, stream: { kind: "gaussian", sigm: 1 }, routers: [{ kind: "topk" }] });`,
    `await simulate({ name: "x", experts: 4, stream: { kind: "gaussian" }, routers: [{ kind: "ssr", epsilonn: 1 }] });`,
  ];
  const text = [`import { routers, simulate, streams } from "moesim";`, ...wrong, ""].join("\n");
  const { status, stdout } = compile("bad.mts", text, "nodenext");
  expect(status).not.toBe(0);
  const lines = Array.from(stdout.matchAll(/^bad\.mts\((\d+),/gm), ([, line]) => Number(line));
  expect(Array.from(new Set(lines))).toEqual(wrong.map((_, index) => index + 2));
  expect(stdout).toMatch(/^bad\.mts\(4,.*"topkk"/m);
  expect(stdout).toMatch(/^bad\.mts\(5,.*'updateRat'/m);
  expect(stdout).not.toContain("node_modules");
});

it("says what to install, before anything runs, if TensorFlow.js is needed and missing", () => {
  const main = path.join(folder, "node_modules/moesim", manifest.bin.moesim);
  const scenarios = path.join(folder, "node_modules/moesim/scenarios");
  const install = "npm install @tensorflow/tfjs-core@4 @tensorflow/tfjs-backend-wasm@4";
  const training = path.join(scenarios, "training-collapse.yaml");
  const quickstart = path.join(scenarios, "quickstart.yaml");
  const before = readdirSync(folder);
  const moesim = (...words: readonly string[]) =>
    spawnSync(process.execPath, [main, ...words], { cwd: folder, encoding: "utf8" });
  for (const scenario of [training, quickstart]) {
    const { status, stdout, stderr } = moesim("run", scenario, "--backend", "tfjs");
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("backend tfjs: ");
    expect(stderr).toContain(install);
  }
  expect(readdirSync(folder)).toEqual(before);
  // Training itself does not need it.
  const { status, stderr } = moesim("run", training, "--quiet", "--set", "steps=2", "--out", "trained");
  expect([status, stderr]).toEqual([0, ""]);
});

it.each([["sweep", path.join("scenarios", "bias-rate.yaml")], ["worker"]])(
  "says what to install, before anything runs, if %s needs BullMQ and it is missing",
  (...words) => {
    const place = path.join(folder, "node_modules/moesim");
    const inPackage = words.map((word) => (word.includes("scenarios") ? path.join(place, word) : word));
    const main = path.join(place, manifest.bin.moesim);
    const options = { cwd: folder, encoding: "utf8" } as const;
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [main, ...inPackage, "--queue", "redis://h"],
      options,
    );
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^moesim: --queue: this needs BullMQ, .*: npm install bullmq@6 ioredis@6\n$/);
  },
);

it("names in package.json, as optional peers, what those messages say to install", () => {
  const peers = [
    "@tensorflow/tfjs-backend-wasm",
    "@tensorflow/tfjs-core",
    "@tensorflow/tfjs-node-gpu",
    "bullmq",
    "ioredis",
  ];
  expect(Object.keys(manifest.peerDependencies)).toEqual(peers);
  expect(manifest.peerDependenciesMeta).toEqual(Object.fromEntries(peers.map((name) => [name, { optional: true }])));
  expect(dependencies.filter((name) => name.startsWith("@tensorflow") || peers.includes(name))).toEqual([]);
});

it("brings at most 120 packages to a machine that installs it", () => {
  const { packages } = JSON.parse(readFileSync(projectPath("package-lock.json"), "utf8"));
  // Native addons are one package for each system, of which npm installs that of its own.
  const installed = Object.entries<Record<string, unknown>>(packages).filter(
    ([name, { dev, devOptional, os }]) => name !== "" && !dev && !devOptional && os === undefined,
  );
  expect(installed.length).toBeLessThanOrEqual(120);
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import path from "node:path";
import { deflateRawSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ExploreServer, serveSite } from "../../src/node/explore-server.ts";
import { firstView } from "../../src/page/explore/tours.ts";
import { addressOf, scenarioFileOf, viewOf, viewOfScenario } from "../../src/page/explore/view.ts";
import { projectPath, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const recording = projectPath("scenarios/traces/balanced.npy");
const hostileName = `a "quoted" <b>&amp; file.npy`;
let server: ExploreServer;

beforeAll(async () => {
  server = await serveSite([{ name: hostileName, path: recording }], 0);
});
afterAll(() => server.close());

/** Sends a request with these headers and this path, whatever they are, and returns what comes back. */
async function ask(where: string, headers: Record<string, string> = {}, method = "GET") {
  const { hostname, port } = new URL(server.url);
  const sent = request({ hostname, port, path: where, headers, method, agent: false });
  sent.end();
  const [response] = await once(sent, "response");
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) };
}

it("serves the site and the files it was given, unstored, on the loopback address", async () => {
  expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  const page = await ask("/");
  expect(page.status).toBe(200);
  expect(page.headers).toMatchObject({ "cache-control": "no-store", "x-frame-options": "DENY" });
  const [, names] = /name="moesim-files" content="([^"]*)"/.exec(page.body.toString())!;
  const unescaped = names.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&amp;", "&");
  expect(JSON.parse(unescaped)).toEqual([hostileName]);
  expect(page.body.toString()).toContain("default-src 'none'");
  expect((await ask("/files/0")).body.equals(readFileSync(recording))).toBe(true);
  expect((await ask("/kernels.wasm")).headers["content-type"]).toBe("application/wasm");
  expect((await ask("/index.html?x#y", {}, "HEAD")).body).toHaveLength(0);
});

it("gives nothing to requests under another name, of another kind, or for other files", async () => {
  expect((await ask("/", { Host: "evil.example" })).status).toBe(421);
  expect((await ask("/files/0", { Host: `127.0.0.1.evil.example:${new URL(server.url).port}` })).status).toBe(421);
  expect((await ask("/", {}, "POST")).status).toBe(405);
  for (const where of [
    "/files/1",
    "/files/-1",
    "/files/0/..",
    "/../package.json",
    "/..%2fpackage.json",
    "//etc/passwd",
  ]) {
    expect((await ask(where)).status, where).toBe(404);
  }
});

it("starts at a recording or the scenario of results, and ends at Ctrl-C", async () => {
  const folder = temporaryFolder();
  writeFileSync(
    path.join(folder, "plan.yaml"),
    `name: plan\nsteps: 9\nregret: { every: 0 }\nstream: { kind: trace, path: ${recording} }\nrouters: [{ kind: topk }]\n`,
  );
  expect((await runInProcess(["run", "plan.yaml", "--quiet", "--out", "results"], folder)).code).toBe(0);
  for (const given of [recording, "results"]) {
    const program = spawn(process.execPath, [projectPath("dist/cli/main.js"), "explore", given, "--json"], {
      cwd: folder,
    });
    const [text] = await once(program.stdout.setEncoding("utf8"), "data");
    const { url } = JSON.parse(text);
    const view = (await viewOf(new URL(url).hash))!;
    expect(view.scenario.stream).toMatchObject({ kind: "trace" });
    if (given !== recording) expect(view).toMatchObject({ steps: 9, scenario: { name: "plan" } });
    const served = await (await fetch(new URL("files/0", url))).arrayBuffer();
    expect(Buffer.from(served).equals(readFileSync(recording))).toBe(true);
    program.kill("SIGINT");
    expect(await once(program, "exit")).toEqual([0, null]);
  }
});

it("is named in reports, with a link that holds the scenario if a copy of the page has an address", async () => {
  const folder = temporaryFolder();
  writeFileSync(
    path.join(folder, "small.yaml"),
    "name: small\nsteps: 4\ntokens: 32\nexperts: 4\nstream: { kind: clusters }\nrouters: [{ kind: topk }]\n",
  );
  expect((await runInProcess(["run", "small.yaml", "--quiet", "--out", "results"], folder)).code).toBe(0);
  const page = async (...words: string[]) => {
    const { code, stderr } = await runInProcess(["report", "results", "--quiet", ...words], folder);
    return { code, stderr, html: readFileSync(path.join(folder, "results/report.html"), "utf8") };
  };
  const plain = await page();
  const command = plain.html.replace(/<[^>]*>/g, "");
  expect(command).toContain(`moesim explore ${path.join("results", "run.json")}`);
  expect(plain.html).not.toContain("Open in explore");
  const { html } = await page("--explore-url", "https://host.example/explore/?x=1&y=2");
  const [, href] = /<a href="([^"]*)" rel="noreferrer">\s*Open in explore/.exec(html)!;
  const link = new URL(href.replaceAll("&amp;", "&"));
  expect(link.origin + link.pathname + link.search).toBe("https://host.example/explore/?x=1&y=2");
  expect(await viewOf(link.hash)).toMatchObject({ steps: 4, scenario: { name: "small", routers: [{ kind: "topk" }] } });
  const wrong = await page("--explore-url", "javascript:alert(1)");
  expect({ ...wrong, html: "" }).toEqual({
    code: 2,
    html: "",
    stderr: expect.stringContaining("is no address of a page"),
  });
});

it("says what is wrong with a file, a folder or a port, with exit code 2", async () => {
  const folder = temporaryFolder();
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as { port: number };
  writeFileSync(path.join(folder, "empty.npy"), "");
  writeFileSync(
    path.join(folder, "large.yaml"),
    "name: l\nexperts: 4096\ntokens: 4096\nregret: { every: 0 }\nstream: { kind: clusters }\nrouters: [{ kind: topk }]\n",
  );
  writeFileSync(
    path.join(folder, "long.yaml"),
    `name: l\ndescription: ${"x".repeat(70_000)}\nexperts: 4\nstream: { kind: clusters }\nrouters: [{ kind: topk }]\n`,
  );
  writeFileSync(
    path.join(folder, "wrong.yaml"),
    "name: w\nexperts: 4\ntopK: 9\nstream: { kind: clusters }\nrouters: [{ kind: topk }]\n",
  );
  for (const [words, message] of [
    [["missing.npy"], "missing.npy: no such file"],
    [["empty.npy"], "empty.npy"],
    [["."], "the folder has no run.json"],
    [["large.yaml"], "too many for a page"],
    [["wrong.yaml"], "topK: 9 is more than the 4 experts"],
    [["long.yaml"], "A link would be too long: the scenario has 69 KiB, and a link holds up to 64 KiB"],
    [["--port", "70000"], "--port: 70000 is not allowed"],
    [["--port", String(port)], `--port ${port}: the port is taken`],
  ] as const) {
    const { code, stderr } = await runInProcess(["explore", ...words], folder);
    expect({ code, stderr: stderr.includes(message) ? message : stderr }).toEqual({ code: 2, stderr: message });
  }
  taken.close();
});

it("writes an address that it reads back, and refuses damaged and endless ones", async () => {
  expect(await viewOf(await addressOf(firstView))).toEqual(firstView);
  expect((await addressOf(firstView)).length).toBeLessThan(300);
  expect(await viewOf("#")).toBeNull();
  const longView = { ...firstView, scenario: { ...firstView.scenario, description: "x".repeat(1 << 20) } };
  await expect(addressOf(longView)).rejects.toThrow("A link would be too long: the scenario has 1025 KiB");
  // Small as it is packed, as a hostile link would be.
  const long = `v1=${deflateRawSync(JSON.stringify(longView)).toString("base64url")}`;
  for (const [address, message] of [
    [long, /damaged/],
    [(await addressOf(firstView)).slice(0, 40), /damaged/],
    ["v2=abc", /another version of explore \(v2/],
    ["<script>", /holds no scenario/],
    [await addressOf({ steps: 0, scenario: firstView.scenario }), /something else/],
    [await addressOf({ steps: 3, scenario: { name: "x" } as never }), /something else/],
  ] as const) {
    await expect(viewOf(address)).rejects.toThrow(message);
  }
});

it("makes a scenario file of a view, without shifts that its steps do not reach", async () => {
  const stream = { kind: "drift", mode: "shift", steps: [5, 50] };
  expect(scenarioFileOf({ steps: 20, scenario: { ...firstView.scenario, stream } })).toMatchObject({
    steps: 20,
    stream: { steps: [5] },
  });
  const { view, notice } = viewOfScenario({ ...firstView.scenario, steps: 1e9, sweep: {} }, "file");
  expect(view!.steps).toBe(2000);
  expect(notice).toContain("sweep");
});

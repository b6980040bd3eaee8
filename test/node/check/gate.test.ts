import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { annotationsOf, checkAsJson, checkAsJunit, formatCheck } from "../../../src/cli/text/check-output.ts";
import { InputError } from "../../../src/core/input-error.ts";
import { type CheckRules, checkResults } from "../../../src/node/check/check-results.ts";
import { worstOf } from "../../../src/node/check/findings.ts";
import { formatEntry, readGate, reasonOf } from "../../../src/node/check/gate.ts";
import { parseTolerances } from "../../../src/node/check/tolerances.ts";
import { temporaryFolder } from "../../support/program.ts";
import { resultFolder } from "../../support/result-folder.ts";

function gateFile(text: string): string {
  const file = path.join(temporaryFolder(), "gate.yaml");
  writeFileSync(file, text);
  return file;
}

/** Results of two routers, two seeds each, with the layers 0 and 3; only `b` has a regret. */
function results(score: number, maxVio = 0.5): string {
  const header = ["scenario", "router", "kind", "seed", "steps", "experts", "max_vio_global", "score", "regret_mean"];
  const row = (router: string, seed: number, shift: number, regret: string) =>
    ["s", router, "topk", seed, 2, 4, maxVio + shift, score + shift, regret].map(String);
  const rows = [row("a", 1, 0.125, ""), row("a", 2, -0.125, ""), row("b", 1, 0, "0.25"), row("b", 2, 0, "0.75")];
  return resultFolder({
    "summary.csv": [header, ...rows],
    "layers.csv": [[...header, "layer"], ...["0", "3"].flatMap((layer) => rows.map((cells) => [...cells, layer]))],
  });
}

async function checked(gate: string, now = results(0.5), baseline: string | null = null, overall = "1e-6") {
  const rules: CheckRules = {
    failOn: "worse",
    tolerances: parseTolerances(overall, []),
    isStrict: false,
    gate: readGate(gateFile(gate)),
  };
  return checkResults(now, baseline, rules);
}

describe("a gate", () => {
  it("limits means over seeds without a baseline, of every router that is not named", async () => {
    const { passed, gate, parts } = await checked(
      "- {metric: max_vio_global, max: 0.5}\n- {metric: score, router: b, min: 0.6}",
    );
    expect(passed).toBe(false);
    expect(parts).toEqual([]);
    // Of a the seeds have 0.625 and 0.375.
    expect(gate).toMatchObject([
      { router: "a", value: 0.5, allowed: 0.5, passed: true },
      { router: "b", value: 0.5, allowed: 0.5, passed: true },
      { router: "b", value: 0.5, allowed: 0.6, baseline: null, passed: false },
    ]);
    expect((await checked("- {metric: score, min: 0.5}")).passed).toBe(true);
    expect((await checked("- {metric: score, min: 0.500001}")).passed).toBe(false);
    expect((await checked("- {metric: score, max: 0.499999}")).passed).toBe(false);
  });

  it("says which rows it does not judge because they have no such metric", async () => {
    const check = await checked("- {metric: regret_mean, max: 1}");
    expect(check.passed).toBe(true);
    expect(check.gate).toMatchObject([{ router: "b", value: 0.5, passed: true }]);
    expect(check.notJudged).toMatchObject([{ router: "a", lackedBy: "results", what: "metric" }]);
    expect(reasonOf(check.notJudged[0])).toBe("the results have no regret_mean");
  });

  it("judges one layer, as JSON too, and the routers that have the metric", async () => {
    const ofLayer = await checked("- {metric: score, router: a, layer: 3, max: 0.25}");
    expect(ofLayer.gate).toMatchObject([{ router: "a", row: { scenario: "s", layer: "3" }, passed: false }]);
    const ofRegret = await checked('[{"metric": "regret_mean", "max": 0.5}]');
    expect(ofRegret.gate).toMatchObject([{ router: "b", value: 0.5, passed: true }]);
  });

  it("allows a metric to be worse than the baseline, instead of the tolerance of the whole check", async () => {
    const worse = [results(0.45), results(0.5)] as const;
    const allowed = await checked("- {metric: score, worse-by: 20%}\n- {metric: max_vio_global, max: 1}", ...worse);
    expect(allowed.passed).toBe(true);
    expect(worstOf(allowed.parts, 10)).toEqual([]);
    expect(allowed.gate[0]).toMatchObject({ router: "a", baseline: 0.5, passed: true });
    expect(allowed.gate[0].value).toBeCloseTo(0.45, 12);
    expect(allowed.gate[0].allowed).toBeCloseTo(0.1, 12);
    const tooFar = await checked("- {metric: score, worse-by: 5%}", ...worse, "50%");
    expect(tooFar.gate.map(({ passed }) => passed)).toEqual([false, false]);
    expect(tooFar.passed).toBe(false);
    // Of the other router the tolerance stays.
    const other = await checked("- {metric: score, router: a, worse-by: 0.1}", ...worse);
    expect(new Set(worstOf(other.parts, 10).map(({ router, verdict }) => `${verdict} ${router}`))).toEqual(
      new Set(["worse b"]),
    );
    expect(other.gate.map(({ router, passed }) => [router, passed])).toEqual([["a", true]]);
    // An improvement breaks nothing.
    expect((await checked("- {metric: score, worse-by: 0}", results(0.6), results(0.5))).passed).toBe(true);
  });

  it("takes standard errors over seeds", async () => {
    // Both seeds of each router change by as much.
    const { gate } = await checked("- {metric: score, worse-by: 3se}", results(0.45), results(0.5));
    expect(gate.map(({ passed }) => passed)).toEqual([false, false]);
    expect(gate[0].allowed).toBeLessThan(1e-8);
  });

  const header = ["scenario", "router", "kind", "seed", "steps", "experts", "max_vio_global", "score"];
  const scoresOf = (scores: Readonly<Record<string, string>>) =>
    resultFolder({
      "summary.csv": [
        header,
        ...Object.entries(scores).map(([router, score]) => ["s", router, "topk", "1", "2", "4", "0", score]),
      ],
    });

  it("refuses worse-by of which the baseline can judge no row", async () => {
    const [both, one, empty] = [scoresOf({ a: "0.5", c: "0.5" }), scoresOf({ a: "0.5" }), scoresOf({ a: "" })];
    const ofRow = checked("- {metric: score, router: c, worse-by: 5%}", both, one);
    await expect(ofRow).rejects.toThrow(InputError);
    await expect(ofRow).rejects.toThrow(
      /entry 1: score of c: worse-by 5%: judges nothing: the baseline has no row of router c; make a baseline/,
    );
    const ofValue = checked("- {metric: score, worse-by: 5%}", one, empty);
    await expect(ofValue).rejects.toThrow(InputError);
    await expect(ofValue).rejects.toThrow(/judges nothing: the baseline has no score of router a; make a baseline/);
    const narrow = resultFolder({ "summary.csv": [header.slice(0, 7), ["s", "a", "topk", "1", "2", "4", "0"]] });
    await expect(checked("- {metric: score, worse-by: 5%}", one, narrow)).rejects.toThrow(
      /the baseline has no score of router a/,
    );
    await expect(checked("- {metric: score, layer: 3, worse-by: 5%}", results(0.5), one)).rejects.toThrow(
      /judges nothing: the baseline has no layers\.csv; make a baseline/,
    );
  });

  it("lists the rows that the baseline cannot judge beside those that it can", async () => {
    const entry = "- {metric: score, worse-by: 5%}";
    const now = scoresOf({ a: "0.5", b: "0.5", c: "0.5" });
    const { passed, gate, notJudged } = await checked(entry, now, scoresOf({ a: "0.5", b: "" }));
    expect(passed).toBe(true);
    expect(gate.map(({ router }) => router)).toEqual(["a"]);
    expect(notJudged.map((row) => [row.router, row.lackedBy, reasonOf(row)])).toEqual([
      ["b", "baseline", "the baseline has no score"],
      ["c", "baseline", "the baseline has no such row"],
    ]);
    // Seeds that both have are enough, and a metric that is empty in both does not apply.
    expect((await checked(entry, results(0.5), results(0.5))).notJudged).toEqual([]);
    expect((await checked(entry, scoresOf({ a: "0.5", b: "" }), scoresOf({ a: "0.5", b: "" }))).notJudged).toEqual([]);
  });

  it("leaves what the results lack to the comparison, which fails", async () => {
    const [both, one] = [scoresOf({ a: "0.5", c: "0.5" }), scoresOf({ a: "0.5" })];
    const ofRow = await checked("- {metric: score, router: c, worse-by: 5%}", one, both);
    expect(ofRow).toMatchObject({ passed: false, gate: [] });
    expect(ofRow.notJudged.map(reasonOf)).toEqual(["the results have no such row"]);
    // The same of a column, which the comparison calls missing.
    const narrow = resultFolder({ "summary.csv": [header.slice(0, 7), ["s", "a", "topk", "1", "2", "4", "0"]] });
    const lacking = await checked("- {metric: score, worse-by: 5%}", narrow, one);
    expect(lacking).toMatchObject({ passed: false, gate: [] });
    expect(lacking.notJudged.map(reasonOf)).toEqual(["the results have no score"]);
    expect(worstOf(lacking.parts, 10)).toMatchObject([{ verdict: "missing", kind: "column", column: "score" }]);
  });

  it("is shown with what it does not judge, each row once by name", async () => {
    const now = scoresOf({ a: "0.5", b: "0.5", c: "0.5" });
    const check = await checked("- {metric: score, worse-by: 5%}", now, scoresOf({ a: "0.5", b: "" }));
    const text = formatCheck(check, parseTolerances("1e-6", []));
    expect(text).toMatch(/^ not judged +b .*the baseline has no score +$/m);
    expect(text).toMatch(/^ not judged +c .*the baseline has no such row +$/m);
    expect(text).toMatch(/^passed: .*; gate: 1 kept, 0 broken, 2 not judged$/m);
    expect(checkAsJson(check)).toMatchObject({
      gate: [{ router: "a" }],
      notJudged: [
        { entry: 1, metric: "score", router: "b", lackedBy: "baseline", reason: "the baseline has no score" },
        { entry: 1, metric: "score", router: "c", lackedBy: "baseline", reason: "the baseline has no such row" },
      ],
    });
    const junit = await checkAsJunit(check);
    expect(junit).toContain('classname="gate" name="a: score: worse-by 5%"');
    expect(junit).toMatch(/name="b: score: worse-by 5%"[^/]*<skipped\/>/);
    expect(junit).toContain("not judged: the baseline has no such row: c: score, allowed: worse-by 5%");
    const notices = annotationsOf(check, "baseline", "gate.yaml").filter(({ file }) => file === "gate.yaml");
    expect(notices.map(({ level, message }) => `${level} ${message}`)).toEqual([
      "notice not judged: the baseline has no score: b: score, allowed: worse-by 5%",
      "notice not judged: the baseline has no such row: c: score, allowed: worse-by 5%",
    ]);
    const one = await checkAsJunit(await checked("- {metric: score, router: a, max: 2}", now));
    expect(one).toContain('name="a: score: max 2"');
  });

  it.each([
    [
      "- {metric: score, router: aa, min: 0}",
      /entry 1: score of aa: min 0: matches no row\. Did you mean "a"\? Routers: a, b\.$/,
    ],
    ["- {metric: score, layer: 7, min: 0}", /entry 1: score, layer 7: min 0: matches no row\.$/],
    ["- {metric: regret_mean, router: a, max: 1}", /regret_mean is empty in every row that it matches/],
    ["- {metric: task_loss, max: 1}", /task_loss is empty in every row that it matches/],
    ["- {metric: score, worse-by: 5%}", /entry 1: score: worse-by 5%: needs --baseline/],
  ])("refuses an entry that judges nothing: %s", async (text, message) => {
    await expect(checked(text)).rejects.toThrow(message);
    await expect(checked(text)).rejects.toThrow(InputError);
  });

  it("refuses a layer of results that have none", async () => {
    const flat = resultFolder({
      "summary.csv": [
        ["scenario", "router", "kind", "seed", "steps", "experts", "max_vio_global"],
        ["s", "a", "topk", "1", "2", "4", "0"],
      ],
    });
    await expect(checked("- {metric: max_vio_global, layer: 0, max: 1}", flat)).rejects.toThrow(
      /matches no row\. The results have no layers\.csv\.$/,
    );
  });
});

describe("a gate file", () => {
  it("is read with every kind of bound", () => {
    const { entries } = readGate(
      gateFile(
        "- {metric: score, router: ssr, layer: 3, min: 0.5}\n- {metric: score, worse-by: 5%}\n- {metric: churn, max: 1}",
      ),
    );
    expect(entries.map(formatEntry)).toEqual(["score of ssr, layer 3: min 0.5", "score: worse-by 5%", "churn: max 1"]);
  });

  it.each([
    ["- {metric: scor, min: 1}", /entry 1: unknown metric "scor"\. Did you mean "score"\? Allowed: max_vio_global, /],
    ["- {metric: max_vio, max: 1}", /entry 1: unknown metric "max_vio"\. Did you mean "max_vio_global"\?/],
    ["- {metrc: score, min: 1}", /entry 1: metrc: unknown key\. Did you mean "metric"\?/],
    ["- {metric: score, worse_by: 1}", /entry 1: worse_by: unknown key\. Did you mean "worse-by"\?/],
    ["- {metric: score}", /entry 1: score: exactly one of max, min, worse-by is expected/],
    ["- {metric: score, max: 1, min: 0}", /entry 1: score: exactly one of max, min, worse-by is expected/],
    ["- {metric: score, max: high}", /entry 1: max: "high" is not allowed/],
    ["- {metric: max_vio_bach, max: 1}", /Did you mean "max_vio_batch_mean"\?/],
    ["- {metric: SCORE, max: 1}", /Did you mean "score"\?/],
    [
      "- {metric: score, max: 5%}",
      /entry 1: max: "5%" is not allowed: a percentage is .* belongs to worse-by; a limit/,
    ],
    ["- {metric: score, layer: -1, max: 1}", /entry 1: layer: -1 is not allowed/],
    [
      "- {metric: score, worse-by: 5 per cent}",
      /entry 1: score: worse-by: "5 per cent" is not allowed; a number from 0 on/,
    ],
    ["- {metric: score, worse-by: -1}", /entry 1: score: worse-by: -1 is not allowed/],
    ["- {metric: churn, worse-by: 1}", /entry 1: churn: neither way is better, so nothing is worse; use max or min/],
    ["- {metric: score, max: 1}\n- score", /entry 2: "score" is not allowed/],
    ["[]", /a list of entries is expected/],
    ["metric: score", /a list of entries is expected/],
    ["", /a list of entries is expected/],
    ["- {", /not valid YAML or JSON/],
  ])("is refused: %s", (text, message) => {
    const file = gateFile(text);
    expect(() => readGate(file)).toThrow(message);
    expect(() => readGate(file)).toThrow(InputError);
    expect(() => readGate(file)).toThrow(file);
  });

  it("is refused with all that is wrong", () => {
    expect(() => readGate(gateFile("- {metric: scor, min: 1}\n- {metric: score}"))).toThrow(/entry 1: .*\n.*entry 2: /);
    expect(() => readGate(path.join(temporaryFolder(), "none.yaml"))).toThrow(/none\.yaml: no such file/);
  });

  it("is refused if an alias contains itself, if it does not end and if it is no regular file", () => {
    expect(() => readGate(gateFile("- &a [*a]\n"))).toThrow(/an alias \(\*name\) contains itself/);
    expect(() => readGate(gateFile("- {metric: score, max: 1"))).toThrow(/gate\.yaml: not valid YAML or JSON: /);
    expect(() => readGate(gateFile("[".repeat(20_000)))).toThrow(/levels deep/);
    expect(() => readGate("/dev/zero")).toThrow(/regular file/);
    expect(() => readGate(temporaryFolder())).toThrow(/folder/);
  });
});

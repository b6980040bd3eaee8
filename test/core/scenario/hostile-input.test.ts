import { writeFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { InputError } from "../../../src/core/input-error.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import { parsePlainData } from "../../../src/core/scenario/plain-data.ts";
import { sweepCells } from "../../../src/core/scenario/sweep.ts";
import { loadScenario } from "../../../src/node/files/scenario-file.ts";
import { temporaryFolder } from "../../support/program.ts";
import { runInProcess } from "../../support/run-in-process.ts";

const base = { name: "a", experts: 8, stream: { kind: "clusters" }, routers: [{ kind: "topk" }] };

function fileWith(text: string, name = "scenario.yaml"): string {
  const file = path.join(temporaryFolder(), name);
  writeFileSync(file, text);
  return file;
}

async function messageOf(text: string): Promise<string> {
  const error = await loadScenario(fileWith(text)).then(
    () => new Error("was accepted"),
    (refusal: Error) => refusal,
  );
  expect(error).toBeInstanceOf(InputError);
  return error.message;
}

describe("a scenario file that is none", () => {
  it.each([
    ["", /is empty; a scenario needs/],
    ["# only a comment\n", /is empty/],
    ["null", /is empty/],
    ["just text", /holds plain text or a number; a scenario is a mapping/],
    ["[1, 2]", /holds a list; a scenario is a mapping/],
    ["name: &a [*a]", /an alias \(\*name\) contains itself/],
    ["a: &a\n  b: *a", /an alias \(\*name\) contains itself/],
    ["[".repeat(100_000), /nested more than 64 levels/],
    [`${'{"a":'.repeat(70)}1${"}".repeat(70)}`, /nested more than 64 levels/],
    ["name: a\nseed: 1\nseed: 2", /the key "seed" is given twice in one mapping, again on line 3/],
    ["%YAML 1.1\n---\nseed: !!set {a, b}", /only mappings, lists, text, numbers/],
    [
      JSON.stringify({ ...base, routers: [{ kind: { toString: 1 } }] }),
      /routers\[0\]\.kind: unknown kind \{"toString":1\}/,
    ],
    [JSON.stringify({ ...base, scores: { toString: 1 } }), /scores: \{"toString":1\} is not allowed/],
    [JSON.stringify({ ...base, stream: { kind: ["clusters"] } }), /stream\.kind: unknown kind \["clusters"\]/],
  ])("%.40j is refused in words", async (text, message) => {
    expect(await messageOf(text)).toMatch(message);
  });

  it.each([
    ["nowhere.yaml", /^moesim: nowhere\.yaml: no such file\n$/],
    ["https://example.org/a.yaml", /this is an address, and only files are read; download it first/],
    [".", /^moesim: \.: this is a folder; a file is needed\n$/],
    ["a\nmoesim: fine", /^moesim: a\\u000amoesim: fine: no such file\n$/],
  ])("the path %j is refused in one line", async (file, message) => {
    expect(await runInProcess(["validate", file])).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(message),
    });
  });
});

it("forges no line of a message by a key, a label or a name", async () => {
  const forged = "x\nmoesim: fine";
  const routers = [
    { kind: "topk", label: forged },
    { kind: "topk", label: forged },
  ];
  for (const data of [
    { ...base, [forged]: 1 },
    { ...base, routers },
    { ...base, scores: forged },
  ]) {
    const { code, stderr } = await runInProcess(["validate", fileWith(JSON.stringify(data))]);
    expect(code).toBe(2);
    expect(stderr.split("\n").filter((line) => line.startsWith("moesim: fine"))).toEqual([]);
  }
});

it("lists twenty of twenty thousand unknown keys and counts the rest, in less than a second", async () => {
  const keys = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`unknownKey${i}`, i]));
  const start = process.cpuUsage();
  const message = await messageOf(JSON.stringify({ ...base, ...keys }));
  const { user } = process.cpuUsage(start);
  expect(message.split("\n")).toHaveLength(22);
  expect(message).toMatch(/: 20000 problems\n {2}unknownKey0: unknown key.*\n.*… and 19980 more$/s);
  expect(user / 1e6).toBeLessThan(1);
});

it("cuts keys and values that are too long for a line", async () => {
  const message = await messageOf(JSON.stringify({ ...base, ["k".repeat(1e5)]: 1, scores: "v".repeat(1e5) }));
  for (const line of message.split("\n")) expect(line.length).toBeLessThan(500);
});

describe("names that spreadsheets take for formulas", () => {
  it.each(["=1+1", "+1", "-1", "@SUM(1)", "\tx", "\rx"])(
    "%j is refused as a label, a name and a swept value",
    async (text) => {
      const says = /spreadsheets take for a formula/;
      await expect(resolveScenario({ ...base, name: text }, "s.yaml")).rejects.toThrow(says);
      await expect(resolveScenario({ ...base, routers: [{ kind: "topk", label: text }] }, "s.yaml")).rejects.toThrow(
        says,
      );
      await expect(sweepCells({ ...base, sweep: { description: [text, "b"] } }, "s.yaml", 10)).rejects.toThrow(says);
    },
  );

  it("are fine further on in the text", async () => {
    const routers = [{ kind: "topk", label: "a=1+1-@" }];
    await expect(resolveScenario({ ...base, routers }, "s.yaml")).resolves.toMatchObject({ name: "a" });
  });
});

/** Every place in `data`, as a path. */
function placesIn(data: unknown, above: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  const inner = typeof data === "object" && data !== null ? Object.entries(data) : [];
  return [above, ...inner.flatMap(([key, value]) => placesIn(value, [...above, key]))];
}

function withValue(data: unknown, place: readonly (string | number)[], value: unknown): unknown {
  if (place.length === 0) return value;
  const [key, ...rest] = place;
  const copy = structuredClone(data) as Record<string | number, unknown>;
  copy[key] = withValue(copy[key], rest, value);
  return copy;
}

const valid = {
  ...{ name: "valid", description: "", seed: 1, steps: 3, tokens: 8, experts: 8, topK: 2, scores: "softmax" },
  ...{ capacityFactor: 1, capacity: "drop", ranks: 2, deadWindow: 2, loadSamples: 2, regret: { every: 1, gap: 0 } },
  stream: { kind: "drift", mode: "shift", steps: [1] },
  routers: [
    { kind: "ssr", label: "s", select: { mode: "every", n: 2 } },
    { kind: "grouped-topk", groups: 2, topGroups: 1 },
  ],
  sweep: { topK: [1, 2], "routers.s.epsilon": [1, 2] },
  seeds: [1, 2],
};
const places = placesIn(valid);
const anyValue = fc.anything({
  values: [
    fc.constantFrom("toString", "__proto__", "constructor", "topk", "=1", "\n", "", "clusters"),
    fc.constantFrom(0, -1, 1e308, -0, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, null, true),
    fc.string(),
  ],
  key: fc.oneof(fc.constantFrom("kind", "toString", "__proto__", "hasOwnProperty", "label", "mode"), fc.string()),
  maxDepth: 4,
});

/** Whether the scenario is accepted; throws what is neither success nor a refusal. */
async function isAccepted(data: () => unknown): Promise<boolean> {
  try {
    await sweepCells(data(), "scenario.yaml", 20);
    return true;
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}

describe("a valid scenario with a random tree in a random place", () => {
  it("is accepted or refused, and never anything else", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), anyValue, async (place, value) => {
        await isAccepted(() => withValue(valid, place, value));
      }),
    );
    expect(await isAccepted(() => valid)).toBe(true);
  });

  it("is so too as YAML, with every alias and tag that YAML makes of it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), anyValue, async (place, value) => {
        let text: string;
        try {
          text = stringify(withValue(valid, place, value));
        } catch {
          // The tree has no YAML.
          return;
        }
        await isAccepted(() => parsePlainData(text, "scenario.yaml"));
      }),
    );
  });
});

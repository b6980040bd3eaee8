import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import { formatOverride, parseOverride, parsePath, withOverride } from "../../../src/core/scenario/overrides.ts";

describe("parseOverride", () => {
  it("reads a dotted path and a YAML value", () => {
    expect(parseOverride("stream.scale=1.5")).toEqual({ path: ["stream", "scale"], value: 1.5 });
    expect(parseOverride("routers[2].select={mode: every, n: 3}")).toEqual({
      path: ["routers", "2", "select"],
      value: { mode: "every", n: 3 },
    });
    expect(parseOverride("name=a=b").value).toBe("a=b");
  });

  it("refuses what has no path or no YAML value", () => {
    expect(() => parseOverride("tokens")).toThrow(InputError);
    expect(() => parseOverride("=3")).toThrow(/path=value/);
    expect(() => parseOverride("tokens=[1")).toThrow(/not valid YAML/);
  });
});

describe("withOverride", () => {
  const scenario = { tokens: 8, routers: [{ kind: "topk" }, { kind: "alf-lb", label: "slow" }, { kind: "alf-lb" }] };

  it("leaves the scenario it was given as it is", () => {
    expect(withOverride(scenario, parseOverride("tokens=9"))).toMatchObject({ tokens: 9 });
    expect(scenario.tokens).toBe(8);
  });

  it("makes the objects on the way", () => {
    expect(withOverride(scenario, parseOverride("regret.every=5"))).toMatchObject({ regret: { every: 5 } });
  });

  it("finds a router by index, label or kind", () => {
    for (const [entry, index] of [
      ["1", 1],
      ["slow", 1],
      ["alf-lb", 2],
    ] as const) {
      const changed = withOverride(scenario, parseOverride(`routers.${entry}.updateRate=0.5`)) as typeof scenario;
      expect(changed.routers[index]).toMatchObject({ updateRate: 0.5 });
    }
  });

  it("names the entries when there is none of that name", () => {
    expect(() => withOverride(scenario, parseOverride("routers.ssr.epsilon=1"))).toThrow(/0 to 2.*topk, slow, alf-lb/);
    expect(() => withOverride(scenario, parseOverride("routers.3.epsilon=1"))).toThrow(InputError);
  });

  it("refuses a path through a value that has no parts", () => {
    expect(() => withOverride(scenario, parseOverride("tokens.x=1"))).toThrow(
      /tokens is a single value and has no fields/,
    );
  });
});

const written = {
  name: "made",
  steps: 2,
  tokens: 8,
  experts: 4,
  stream: { kind: "gaussian" },
  routers: [{ kind: "topk" }, { kind: "alf-lb", label: "a=b" }, { kind: "alf-lb", label: "\u001b[2J" }],
};
const scenario = await resolveScenario(written, "made");

describe("formatOverride", () => {
  it.each([
    ["topK", 2, "topK=2"],
    ["routers.topk.renormalize", false, "routers.topk.renormalize=false"],
    ["stream.kind", "zipf-text", "stream.kind=zipf-text"],
    ["stream.path", "data/logits.npy", "stream.path=data/logits.npy"],
    ["description", "1e3", 'description="1e3"'],
    ["description", "null", 'description="null"'],
    ["description", "a: b", 'description="a: b"'],
    ["description", "", 'description=""'],
    ["regret", { every: 2 }, 'regret={"every":2}'],
  ])("writes %s and %j as %s", (path, value, text) => {
    expect(formatOverride(path, value, scenario)).toBe(text);
  });

  it("names a router by its number where its name cannot stand before the equals sign, or on a terminal", () => {
    expect(formatOverride("routers.a=b.updateRate", 0.1, scenario)).toBe("routers.1.updateRate=0.1");
    expect(formatOverride("routers.\u001b[2J.updateRate", 0.1, scenario)).toBe("routers.2.updateRate=0.1");
  });

  it("is read back to the same change, on one line that a terminal shows as it is", () => {
    const value = fc.oneof(
      fc.jsonValue(),
      fc.string({ unit: "binary" }),
      fc.string({ unit: fc.constantFrom(...".-+eE_0123456789xo~nulabtrfs:/") }),
    );
    const path = fc.constantFrom(
      "description",
      "regret.every",
      "routers.1.updateRate",
      "routers.a=b.updateRate",
      "routers[0].x",
    );
    const property = fc.property(path, value, (at, set) => {
      const text = formatOverride(at, set, scenario);
      expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      const changed = withOverride(written, parseOverride(text));
      expect(changed).toEqual(withOverride(written, { path: parsePath(at), value: set }));
    });
    fc.assert(property, { numRuns: 2000, seed: 3 });
  });
});

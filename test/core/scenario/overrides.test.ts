import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { parseOverride, withOverride } from "../../../src/core/scenario/overrides.ts";

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

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatOverride } from "../../../src/core/scenario/format-override.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import { parseOverride, parsePath, withOverride } from "../../../src/core/scenario/overrides.ts";

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

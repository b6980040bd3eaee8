import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { create } from "../../../src/core/library/routers.ts";
import { groupedTopkKind } from "../../../src/core/routers/grouped-topk.ts";
import { alfLbTwin } from "../../support/alf-lb-twin.ts";
import { readNpy } from "../../support/npy.ts";
import { affinities, largestDifference, largestIndices, normalised, toMatrix } from "../../support/plain.ts";
import { projectPath } from "../../support/program.ts";
import { randomLogits, skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

const gateTolerance = 2e-6;

/** DeepSeek-V3's selection on one row of S + b: experts outside the best groups are masked out. */
function groupLimited(key: number[], groups: number, topGroups: number, topK: number): number[] {
  const size = key.length / groups;
  const groupScore = Array.from({ length: groups }, (_, group) =>
    key
      .slice(group * size, (group + 1) * size)
      .sort((a, b) => b - a)
      .slice(0, 2)
      .reduce((sum, value) => sum + value, 0),
  );
  const kept = new Set(largestIndices(groupScore, topGroups));
  const masked = key.map((value, e) => (kept.has(Math.floor(e / size)) ? value : Number.NEGATIVE_INFINITY));
  return largestIndices(masked, topK);
}

const settings = [
  { experts: 16, groups: 4, topGroups: 2, topK: 3 },
  { experts: 16, groups: 8, topGroups: 4, topK: 8 },
  { experts: 12, groups: 3, topGroups: 1, topK: 4 },
  { experts: 6, groups: 6, topGroups: 3, topK: 2 },
  { experts: 9, groups: 1, topGroups: 1, topK: 5 },
  { experts: 8, groups: 4, topGroups: 4, topK: 8 },
];

describe("grouped-topk", () => {
  it.each(settings)("agrees with masking all but the best groups: %o", ({ experts, topK, groups, topGroups }) => {
    const shape = { tokens: 40, experts, topK, capacityFactor: 1 };
    const logits = randomLogits(`groups ${experts} ${groups}`, shape.tokens, experts, 1.5);
    for (const scores of ["softmax", "sigmoid"] as const) {
      const options = { groups, topGroups };
      const { expert, gate } = createRouterUnderTest("grouped-topk", shape, { options, scores }).route(logits);
      const affinity = affinities(toMatrix(logits, shape.tokens, experts), scores);
      expect(expert).toEqual(affinity.map((row) => groupLimited(row, groups, topGroups, topK)));
      const gates = expert.map((row, token) => normalised(row.map((e) => affinity[token][e])));
      expect(largestDifference(gate, gates)).toBeLessThan(gateTolerance);
    }
  });

  const deepseekLogits = projectPath("../shared/cases/12/logits.npy");
  const gateLogits = [
    { name: "random logits", logits: randomLogits("gate of DeepSeek-V3", 64, 256, 1.5) },
    ...(existsSync(deepseekLogits) ? [{ name: "recorded logits", logits: readNpy(deepseekLogits).values }] : []),
  ];
  it.each(gateLogits)(
    "sends every token where the sigmoid gate of DeepSeek-V3 does if nobody names the affinities: $name",
    async ({ logits }) => {
      const [experts, topK] = [256, 8];
      const router = await create({ kind: "grouped-topk" }, { tokens: logits.length / experts, experts, topK });
      const { expert, tokens } = router.route(logits);
      const bySigmoid = affinities(toMatrix(logits, tokens, experts), "sigmoid");
      const bySoftmax = affinities(toMatrix(logits, tokens, experts), "softmax");
      const chosen = toMatrix(expert, tokens, topK);
      expect(chosen).toEqual(bySigmoid.map((row) => groupLimited(row, 8, 4, topK)));
      expect(chosen).not.toEqual(bySoftmax.map((row) => groupLimited(row, 8, 4, topK)));
    },
  );

  it("chooses groups and experts by S + b over many batches, as a float64 twin does", () => {
    const shape = { tokens: 32, experts: 12, topK: 2, capacityFactor: 1 };
    const bias = {
      updateRule: "sign",
      updateRate: 0.05,
      schedule: "inverse-sqrt",
      center: true,
      updateEvery: 2,
    } as const;
    const batches = Array.from({ length: 10 }, (_, step) => skewedLogits(`grouped ${step}`, 32, 12, 1));
    const rows = batches.map((batch) => toMatrix(batch, 32, 12));
    const twin = alfLbTwin(rows, "sigmoid", shape.topK, bias, (key) => groupLimited(key, 4, 2, shape.topK));
    const options = { groups: 4, topGroups: 2, ...bias };
    const { route, router } = createRouterUnderTest("grouped-topk", shape, { options, scores: "sigmoid" });
    batches.forEach((batch, step) => {
      expect(route(batch).expert).toEqual(twin.chosen[step]);
      const { bias: values } = router.state() as { bias: number[] };
      expect(largestDifference([values], [twin.bias[step]])).toBeLessThan(1e-13);
    });
    expect(Math.max(...twin.bias.at(-1)!)).toBeGreaterThan(0.05);
  });

  it("prefers a group of two good experts to one with the best expert alone", () => {
    const shape = { tokens: 1, experts: 4, topK: 1, capacityFactor: 1 };
    const options = { groups: 2, topGroups: 1 };
    const { expert } = createRouterUnderTest("grouped-topk", shape, { options, scores: "sigmoid" }).route(
      Float32Array.of(3, -9, 1, 1),
    );
    // sigmoid(3) + sigmoid(−9) ≈ 0.953 < 2 · sigmoid(1) ≈ 1.462.
    expect(expert).toEqual([[2]]);
  });

  it("breaks ties between groups and between experts by the lowest index", () => {
    const shape = { tokens: 1, experts: 6, topK: 2, capacityFactor: 1 };
    const options = { groups: 3, topGroups: 2 };
    const { expert } = createRouterUnderTest("grouped-topk", shape, { options }).route(new Float32Array(6));
    expect(expert).toEqual([[0, 1]]);
  });

  it("breaks ties between experts by the lowest index even where the later group is the better one", () => {
    const shape = { tokens: 1, experts: 4, topK: 2, capacityFactor: 1 };
    const options = { groups: 2, topGroups: 2 };
    const { expert } = createRouterUnderTest("grouped-topk", shape, { options }).route(Float32Array.of(1, 0, 3, 1));
    expect(expert).toEqual([[2, 0]]);
  });

  it("is alf-lb when there is one group", () => {
    const shape = { tokens: 20, experts: 6, topK: 2, capacityFactor: 1 };
    const grouped = createRouterUnderTest("grouped-topk", shape, {
      options: { groups: 1, topGroups: 1, updateRate: 0.1 },
      scores: "sigmoid",
    });
    const plain = createRouterUnderTest("alf-lb", shape, { options: { updateRate: 0.1 } });
    for (let step = 0; step < 6; step++) {
      const batch = skewedLogits(`one group ${step}`, 20, 6, 1);
      expect(grouped.route(batch)).toEqual(plain.route(batch));
    }
  });

  it("refuses groups that do not divide the experts, too many top groups, and too few experts inside them", () => {
    const problems = (options: object, experts: number, topK: number) =>
      groupedTopkKind.check!(groupedTopkKind.options.parse(options), { tokens: 1, experts, topK, capacityFactor: 1 });
    expect(problems({ groups: 4, topGroups: 2 }, 16, 8)).toEqual([]);
    expect(problems({ groups: 5, topGroups: 2 }, 16, 1)).toMatchObject([{ path: ["groups"] }]);
    expect(problems({ groups: 4, topGroups: 5 }, 16, 1)).toMatchObject([{ path: ["topGroups"] }]);
    expect(problems({ groups: 4, topGroups: 2 }, 16, 9)).toMatchObject([{ path: ["topGroups"] }]);
  });
});

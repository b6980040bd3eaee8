import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { placeByEplb } from "../../../src/core/placement/eplb.ts";
import type { PlacementShape } from "../../../src/core/placement/placement.ts";
import { projectPath } from "../../support/program.ts";

interface Case extends PlacementShape {
  readonly load: number[];
  readonly expertOfSlot: number[];
}

const cases = JSON.parse(readFileSync(projectPath("test/fixtures/placement/eplb.json"), "utf8")) as Case[];

it("places DeepSeek's published example as DeepSeek's balancer does", () => {
  const shape = { experts: 12, gpus: 8, slots: 16, nodes: 2, groups: 4 };
  const layers = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
  ];
  expect(layers.map((load) => Array.from(placeByEplb(load, shape)))).toEqual([
    [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
    [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
  ]);
});

it.each(cases)(
  "places $experts experts on $gpus GPUs with $slots slots, $groups groups, $nodes nodes as numpy does",
  ({ load, expertOfSlot, ...shape }) => {
    expect(Array.from(placeByEplb(load, shape))).toEqual(expertOfSlot);
  },
);

it("keeps every group on one node if the nodes divide the groups", () => {
  const hierarchical = cases.filter(({ groups, nodes }) => nodes > 1 && groups % nodes === 0);
  expect(hierarchical.length).toBeGreaterThan(10);
  for (const { load, expertOfSlot: _, ...shape } of hierarchical) {
    const { experts, groups, nodes, slots } = shape;
    const nodesOf = Array.from({ length: groups }, () => new Set<number>());
    placeByEplb(load, shape).forEach((expert, slot) => {
      nodesOf[Math.floor((expert * groups) / experts)].add(Math.floor((slot * nodes) / slots));
    });
    expect(nodesOf.map(({ size }) => size)).toEqual(new Array(groups).fill(1));
  }
});

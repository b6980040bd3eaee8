import { expect, it } from "vitest";
import { contiguousRanks, placedRanks, spreadOfTokens } from "../../../src/core/metrics/ranks.ts";

it("deals experts to ranks in contiguous groups, the larger ones first", () => {
  expect(Array.from(contiguousRanks(6, 3).rankOf)).toEqual([0, 0, 1, 1, 2, 2]);
  expect(Array.from(contiguousRanks(30, 8).rankOf)).toEqual(
    [4, 4, 4, 4, 4, 4, 3, 3].flatMap((size, rank) => new Array(size).fill(rank)),
  );
  expect(Array.from(contiguousRanks(2, 3).rankOf)).toEqual([0, 1]);
});

it("counts the ranks and nodes of each token", () => {
  const ranks = { ...contiguousRanks(8, 4), nodes: 2 };
  // Ranks 0 and 0; 0 and 1, one node; 0 and 3.
  const expert = Int32Array.of(0, 1, 0, 2, 1, 7);
  expect(spreadOfTokens(expert, 2, 3, ranks)).toEqual({ ranks: 5 / 3, nodes: 4 / 3 });
});

it("counts tokens that have an expert only", () => {
  const ranks = contiguousRanks(4, 2);
  expect(spreadOfTokens(Int32Array.of(0, 3, -1, -1, 2, -1), 2, 3, ranks)).toEqual({ ranks: 1.5, nodes: 1 });
  expect(spreadOfTokens(Int32Array.of(-1, -1), 2, 1, ranks)).toBeNull();
});

it("takes the replicas of an expert in turn", () => {
  // Expert 0 is on ranks 0 and 1, expert 1 on rank 1, expert 2 on rank 0.
  const ranks = placedRanks([0, 2, 1, 0], 3, 2, 2);
  expect(Array.from(ranks.firstReplica)).toEqual([0, 2, 3, 4]);
  expect(Array.from(ranks.rankOf)).toEqual([0, 1, 1, 0]);
  // Pair 0 takes rank 0, pair 1 is on rank 1; pair 2 takes rank 0, pair 3 is on rank 0.
  expect(spreadOfTokens(Int32Array.of(0, 1, 0, 2), 2, 2, ranks)).toEqual({ ranks: 1.5, nodes: 1.5 });
});

import { describe, expect, it } from "vitest";
import { createRandom } from "../../../../src/core/random.ts";
import { createExchangeGraph, type ExchangeGraph } from "../../../../src/core/transport/assignment/exchange-graph.ts";
import { backends } from "../../../support/backends.ts";
import { float64 } from "../../kernels/matrices.ts";

const [tokens, experts, topK] = [9, 4, 2];
const pairs = tokens * topK;
const ground = experts;

describe.each(backends)("the exchange graph on $backend kernels", (kernels) => {
  /** Whole numbers, so that losses are exact and many of them equal. */
  function drawScores(seed: string): Float64Array {
    const random = createRandom(seed);
    return float64(
      kernels,
      Float64Array.from({ length: tokens * experts }, () => Math.floor(7 * random.uniform()) - 2),
    );
  }

  /** S of a pair at a node, −∞ on an expert that its token has already. */
  function worth(scores: Float64Array, { expert }: ExchangeGraph, pair: number, node: number): number {
    if (node === ground) return 0;
    const token = Math.floor(pair / topK);
    const isTaken = expert.subarray(token * topK, (token + 1) * topK).includes(node);
    return isTaken && expert[pair] !== node ? Number.NEGATIVE_INFINITY : scores[token * experts + node];
  }

  /** The least loss of the arc by trying every pair, +∞ where none can go. */
  function plainLoss(scores: Float64Array, graph: ExchangeGraph, from: number, to: number): number {
    const losses = [...Array(pairs).keys()]
      .filter((pair) => graph.expert[pair] === from)
      .map((pair) => worth(scores, graph, pair, from) - worth(scores, graph, pair, to));
    return Math.min(Number.POSITIVE_INFINITY, ...losses);
  }

  function expectSoundArcs(scores: Float64Array, graph: ExchangeGraph): void {
    for (let from = 0; from <= ground; from++) {
      for (let to = 0; to <= ground; to++) {
        if (to === from) continue;
        const least = plainLoss(scores, graph, from, to);
        const before = graph.losses(from)[to];
        // What is not confirmed may be too small, never too large: a search that takes it for the length errs safely.
        expect(before).toBeLessThanOrEqual(least);
        expect(graph.confirm(from, to)).toBe(before === least);
        expect(graph.losses(from)[to]).toBe(least);
        if (least === Number.POSITIVE_INFINITY) continue;
        const mover = graph.mover(from, to);
        expect(graph.expert[mover]).toBe(from);
        expect(worth(scores, graph, mover, from) - worth(scores, graph, mover, to)).toBe(least);
      }
    }
  }

  it("knows of every arc the pair that loses least, whatever was moved before", () => {
    const graph = createExchangeGraph(kernels, tokens, experts, topK);
    for (const seed of ["a", "b", "c"]) {
      const random = createRandom(`moves/${seed}`);
      const scores = drawScores(seed);
      graph.reset(scores, tokens);
      expectSoundArcs(scores, graph);
      for (let move = 0; move < 120; move++) {
        const pair = Math.floor(pairs * random.uniform());
        const node = Math.floor((experts + 1) * random.uniform());
        if (graph.expert[pair] === node || worth(scores, graph, pair, node) === Number.NEGATIVE_INFINITY) continue;
        graph.move(pair, node);
        // Between some moves nothing is looked at, so that arcs go unconfirmed through more than one.
        if (move % 3 === 0) expectSoundArcs(scores, graph);
      }
    }
  });

  it("counts the pairs of each node and sums up their scores", () => {
    const graph = createExchangeGraph(kernels, tokens, experts, topK);
    const scores = drawScores("sum");
    graph.reset(scores, tokens);
    expect([graph.value(), ...graph.load]).toEqual([0, 0, 0, 0, 0, pairs]);
    graph.move(0, 1);
    graph.move(1, 3);
    graph.move(7, 1);
    graph.move(0, 2);
    graph.move(1, ground);
    expect(graph.value()).toBe(scores[2] + scores[3 * experts + 1]);
    expect(Array.from(graph.load)).toEqual([0, 1, 1, 0, pairs - 2]);
    graph.reset(scores, 4);
    expect(Array.from(graph.load)).toEqual([0, 0, 0, 0, 4 * topK]);
  });
});

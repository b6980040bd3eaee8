// A plugin for moesim: a router with an option and a state, and a metric. Copy this file anywhere, then
//   moesim list routers --plugin my-plugin.mjs
//   moesim run scenario.yaml --plugin my-plugin.mjs
import { createAssignmentBuffers, defineMetric, defineRouter, z } from "moesim/plugin";

/** Selects by affinity minus a penalty on experts that were busy lately. */
const busyPenalty = defineRouter({
  kind: "busy-penalty",
  summary: "K largest of affinity minus a penalty on recently busy experts",
  source: "this file",
  // Each option has a default. Scenarios, --param, sweeps, `list` and `schema` know them by this object.
  options: z.strictObject({
    penalty: z.number().min(0).default(0.1).describe("Affinity that an expert loses at twice the target load."),
    memory: z.number().min(0).lt(1).default(0.5).describe("Share of the average load that the next batch keeps."),
  }),
  hasBias: true,

  create({ shape, scores, kernels }, { penalty, memory }) {
    const { tokens, experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    // Kernels only take arrays that they allocated, once, before the first batch.
    const bias = kernels.allocateFloat64(experts);
    let average = new Array(experts).fill((tokens * topK) / experts);
    const setBias = () => {
      for (let e = 0; e < experts; e++) bias[e] = -penalty * ((average[e] * experts) / (tokens * topK) - 1);
    };
    return {
      bias,
      route(batch) {
        kernels.selectTopK(batch.logits, scores, bias, batch.tokens, experts, topK, expert, load);
        kernels.gates(batch.logits, scores, true, expert, batch.tokens, experts, topK, gate);
        average = average.map((before, e) => memory * before + (1 - memory) * load[e]);
        setBias();
        return { assignment };
      },
      // Everything that the next batch depends on, so that an interrupted run resumes to the same bytes.
      state: () => ({ average }),
      restore(state) {
        average = state.average;
        setBias();
      },
    };
  },
});

/** The share of all pairs that the busiest expert has. */
const largestShare = defineMetric({
  id: "largest_share",
  label: "largest share",
  unit: "fraction",
  better: "lower",
  range: "[1/E, 1]",
  bounds: ({ experts }) => [1 / experts, 1],
  definition: "pairs on the busiest expert / pairs of the batch",
  source: "this file",
  step: { file: "steps", measure: ({ load, pairs }) => (pairs === 0 ? null : Math.max(...load) / pairs) },
  run: [
    { column: "largest_share_mean", label: "largest share, mean", header: "largest\nshare", rank: 3.5, taken: "mean" },
  ],
});

export default { routers: [busyPenalty], metrics: [largestShare] };

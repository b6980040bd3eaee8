// How balanced is an existing model, and what would help? From the experts of its tokens or its loads, without logits.
import { diagnose, measure, metrics } from "moesim";

// Six of 64 experts for each of 1027 tokens. This file is made, not recorded: replace it by one of your model.
const { summary, steps } = await measure({
  selections: "scenarios/traces/made-selections.npy",
  experts: 64,
  batchTokens: 256,
  ranks: 8,
});
console.log(`all tokens: MaxVio ${summary.maxVioGlobal?.toFixed(4)}, CV ${summary.loadCv?.toFixed(4)}`);
console.log(
  `a batch: MaxVio ${summary.maxVioBatchMean?.toFixed(2)} on average, ${summary.maxVioBatchMax?.toFixed(2)} at most`,
);
console.log(`8 devices: ${summary.stepTimeMean?.toFixed(2)} times slower than in perfect balance`);

// A load is an array of counts, and every metric of a load takes one.
const total = steps[0].load.map((_, expert) => steps.reduce((sum, { load }) => sum + load[expert], 0));
const busiest = total.indexOf(Math.max(...total));
console.log(`expert ${busiest} took ${total[busiest]} pairs; Gini ${metrics.loadGini(total).toFixed(3)}`);

// A model has many layers, and each is measured by itself. `files` can be what any engine wrote, a folder of it, or a pattern.
const model = await measure({ files: "scenarios/traces/made-loads.npy", axes: ["layers", "experts"] });
console.log(model.description);
console.log(`mean of ${model.layers.length} layers: MaxVio ${model.summary.maxVioGlobal?.toFixed(3)}`);
const worst = model.layers.find(({ layer }) => layer === model.worstLayer);
console.log(`worst layer ${worst?.layer}: MaxVio ${worst?.summary.maxVioGlobal?.toFixed(3)}`);

// Would placing the experts on 8 devices help, on tokens that the placement was not fitted to?
const { layers } = await diagnose({
  files: "scenarios/traces/made-selections.npy",
  as: "selections",
  experts: 64,
  gpus: 8,
});
for (const { layer, verdict } of layers) console.log(`layer ${layer}: ${verdict.kind}. ${verdict.reason}`);

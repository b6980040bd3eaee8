// A model collapsed in training: what would other routers have done with the very same tokens?
import { simulate } from "moesim";

const { scenario, runs } = await simulate({
  name: "replay-trace",
  topK: 2,
  scores: "softmax",
  // Sizes come from the file: [steps × tokens × experts].
  stream: { kind: "trace", path: "scenarios/traces/collapse.npy" },
  routers: [{ kind: "topk" }, { kind: "alf-lb", updateRate: 0.001 }, { kind: "sinkhorn" }, { kind: "expert-choice" }],
  regret: { every: 0 },
});

const { steps, tokens, experts } = scenario;
console.log(`${steps} steps of ${tokens} tokens, ${experts} experts`);
for (const { name, summary, steps } of runs) {
  const last = steps[steps.length - 1];
  const idle = last.load.filter((pairs) => pairs === 0).length;
  console.log(
    `${name}: MaxVio ${summary.maxVioBatchMean?.toFixed(2)}, last step ${last.maxVio?.toFixed(2)} with ${idle} idle experts`,
  );
}

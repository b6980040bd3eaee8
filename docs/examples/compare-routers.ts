// Which router keeps a skewed stream balanced, and at what price?
import { simulate } from "moesim";

const { runs } = await simulate({
  name: "compare-routers",
  seed: 1,
  steps: 60,
  tokens: 512,
  experts: 16,
  topK: 2,
  scores: "softmax",
  stream: { kind: "clusters" },
  routers: [
    { kind: "topk" },
    { kind: "alf-lb", updateRate: 0.01 },
    { kind: "ssr", select: { mode: "every", n: 4 } },
    { kind: "sinkhorn" },
    { kind: "base" },
  ],
});

for (const { name, summary } of runs) {
  const { maxVioBatchMean, score, regretMean } = summary;
  console.log(
    `${name}: MaxVio ${maxVioBatchMean?.toFixed(2)}, score ${score?.toFixed(3)}, regret ${regretMean?.toFixed(4)}`,
  );
}

// MaxVio of selective Sinkhorn on the steps with a plan, and on the others.
const ssr = runs[2].steps;
const mean = (values: (number | null)[]) =>
  values.reduce<number>((sum, value) => sum + (value ?? 0), 0) / values.length;
const planned = ssr.filter((step) => step.solverIterations !== null);
const others = ssr.filter((step) => step.solverIterations === null);
console.log(`ssr, MaxVio with the plan: ${mean(planned.map((step) => step.maxVio)).toFixed(2)}`);
console.log(`ssr, MaxVio without it:    ${mean(others.map((step) => step.maxVio)).toFixed(2)}`);

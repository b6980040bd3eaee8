// At which capacity would my own router, greedy with spilling, stop losing score? A capacity study of a new algorithm.
import { metrics, streams } from "moesim";

const [tokens, experts, topK] = [512, 16, 2];

/** Gives each token in turn the best experts that still have room. */
function routeGreedily(scores: Float64Array, capacity: number): Int32Array {
  const room = new Int32Array(experts).fill(capacity);
  const chosen = new Int32Array(tokens * topK).fill(-1);
  for (let token = 0; token < tokens; token++) {
    const row = scores.subarray(token * experts, (token + 1) * experts);
    const order = Array.from(row.keys()).sort((a, b) => row[b] - row[a]);
    const free = order.filter((expert) => room[expert] > 0).slice(0, topK);
    for (const [slot, expert] of free.entries()) {
      chosen[token * topK + slot] = expert;
      room[expert] -= 1;
    }
  }
  return chosen;
}

// Every walk through a stream gives the same batches.
const stream = await streams.open({ kind: "clusters" }, { steps: 10, tokens, experts, seed: 5 });
for (const capacityFactor of [1, 1.25, 1.5, 2, 4]) {
  const capacity = metrics.capacity({ tokens, experts, topK, capacityFactor });
  const meter = await metrics.createMeter({ tokens, experts, topK, capacityFactor });
  for await (const { logits } of stream) {
    meter.measure(logits, { expert: routeGreedily(metrics.affinities(logits, experts), capacity) });
  }
  const { score, regretMean, maxVioBatchMax, churn } = meter.summary();
  console.log(
    `factor ${capacityFactor}: score ${score?.toFixed(4)}, regret ${regretMean?.toFixed(4)}, ` +
      `MaxVio ${maxVioBatchMax?.toFixed(2)}, spilled ${((churn ?? 0) * 100).toFixed(1)} %`,
  );
}

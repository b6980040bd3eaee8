// How far is one batch's routing from the best possible, and what proves it?
import { metrics, routers, streams, transport } from "moesim";

const [tokens, experts, topK] = [512, 16, 2];
for await (const { logits } of await streams.open({ kind: "clusters" }, { steps: 1, tokens, experts, seed: 3 })) {
  // The best assignment with at most `capacity` tokens on each expert, and its prices.
  const scores = metrics.affinities(logits, experts);
  const capacity = metrics.capacity({ tokens, experts, topK });
  const best = transport.solveAssignment({ scores, experts, topK, capacity });
  console.log(`optimum ${best.value.toFixed(6)}, exact: ${best.exact}`);

  // The proof needs only the prices: no assignment can be worth more than this.
  let bound = best.price.reduce((sum, price) => sum + capacity * price, 0);
  for (let row = 0; row < scores.length; row += experts) {
    const net = scores.subarray(row, row + experts).map((score, expert) => Math.max(0, score - best.price[expert]));
    for (const gain of net.sort().slice(-topK)) bound += gain;
  }
  console.log(`bound   ${bound.toFixed(6)}`);

  for (const kind of ["topk", "sinkhorn", "base"] as const) {
    const router = await routers.create({ kind }, { tokens, experts, topK });
    const meter = await metrics.createMeter({ tokens, experts, topK });
    const { regret, maxVio } = meter.measure(logits, router.route(logits));
    console.log(`${kind}: regret ${regret?.toFixed(4)} a pair, MaxVio ${maxVio?.toFixed(2)}`);
  }
}

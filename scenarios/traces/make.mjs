// Makes made-selections.npy and made-loads.npy: `node scenarios/traces/make.mjs`. They come from no model. Experts are
// drawn by a Zipf law over an order that changes with the layer, from a fixed seed, so that the bytes are always the same.
import { writeFileSync } from "node:fs";
import seedrandom from "seedrandom";

const random = seedrandom("made traces");

/** A random order of 0 … `count` − 1. */
function shuffled(count) {
  const order = Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

/** `topK` distinct experts, each drawn in proportion to its weight. */
function draw(weights, topK) {
  const left = Array.from(weights);
  return Array.from({ length: topK }, () => {
    let rest = random() * left.reduce((sum, weight) => sum + weight, 0);
    const expert = Math.max(
      0,
      left.findIndex((weight) => {
        rest -= weight;
        return weight > 0 && rest < 0;
      }),
    );
    left[expert] = 0;
    return expert;
  });
}

function zipfWeights(experts, exponent) {
  const weights = new Array(experts);
  for (const [rank, expert] of shuffled(experts).entries()) weights[expert] = (rank + 1) ** -exponent;
  return weights;
}

function writeNpy(name, descriptor, shape, values) {
  const fields = `{'descr': '${descriptor}', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const header = Buffer.from(`${fields.padEnd(117)}\n`, "latin1");
  const prefix = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length, 0]);
  writeFileSync(new URL(name, import.meta.url), Buffer.concat([prefix, header, new Uint8Array(values.buffer)]));
}

const [tokens, topK, experts] = [1027, 6, 64];
const weights = zipfWeights(experts, 0.6);
const selections = Int16Array.from(Array.from({ length: tokens }, () => draw(weights, topK)).flat());
writeNpy("made-selections.npy", "<i2", [tokens, topK], selections);

const [layers, layerExperts, layerTokens] = [32, 8, 500];
const loads = new Int32Array(layers * layerExperts);
for (let layer = 0; layer < layers; layer++) {
  const layerWeights = zipfWeights(layerExperts, 0.2);
  for (let token = 0; token < layerTokens; token++) {
    for (const expert of draw(layerWeights, 2)) loads[layer * layerExperts + expert] += 1;
  }
}
writeNpy("made-loads.npy", "<i4", [layers, layerExperts], loads);

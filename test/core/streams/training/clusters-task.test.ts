import { sampleCorrelation } from "simple-statistics";
import { describe, expect, it } from "vitest";
import { createReferenceKernels } from "../../../../src/core/kernels/reference.ts";
import { createRandom } from "../../../../src/core/random.ts";
import { zipfWeights } from "../../../../src/core/streams/parts/zipf.ts";
import { type ClustersTaskOptions, createClustersTask } from "../../../../src/core/streams/training/clusters-task.ts";
import { standardErrors } from "../stream-context.ts";

const tokens = 2000;
const options: ClustersTaskOptions = { clusters: 5, exponent: 1, spread: 0.5, noise: 0, shift: [] };

function open(changed: Partial<ClustersTaskOptions> = {}, width = 4) {
  const random = createRandom(1);
  const task = createClustersTask(createReferenceKernels(), random, width, { ...options, ...changed });
  const batch = task.createBatch(tokens);
  return { task: { ...batch, draw: (step: number) => batch.draw(random.derive(`step ${step}`), step) } };
}

function countsOf(cluster: Int32Array): number[] {
  const counts = new Array(options.clusters).fill(0);
  for (const c of cluster) counts[c] += 1;
  return counts;
}

describe("the clusters that a layer is trained on", () => {
  it("are as frequent as the Zipf law says, and their order changes at a shift", () => {
    const { task } = open({ shift: [3] });
    const weights = zipfWeights(5, 1);
    const expectLaw = (counts: number[], law: readonly number[]) => {
      for (const [c, count] of counts.entries()) {
        const deviation = Math.sqrt(tokens * law[c] * (1 - law[c]));
        expect(Math.abs(count - tokens * law[c])).toBeLessThan(standardErrors * deviation);
      }
    };
    task.draw(2);
    expectLaw(countsOf(task.cluster), [...weights]);
    task.draw(3);
    const counts = countsOf(task.cluster);
    expect(counts.toSorted((a, b) => b - a)).not.toEqual(counts);
    const ranks = counts.map((count) => counts.toSorted((a, b) => b - a).indexOf(count));
    expectLaw(
      counts,
      ranks.map((rank) => weights[rank]),
    );
  });

  it("come in no order", () => {
    const { task } = open({ exponent: 0 });
    task.draw(0);
    let changes = 0;
    for (let token = 1; token < tokens; token++) if (task.cluster[token] !== task.cluster[token - 1]) changes += 1;
    const expected = (tokens - 1) * 0.8;
    expect(Math.abs(changes - expected)).toBeLessThan(standardErrors * Math.sqrt(expected * 0.2));
  });

  it("have token vectors of variance 1 around their centre", () => {
    const width = 4;
    const { task } = open({}, width);
    task.draw(0);
    const x = task.x;
    for (let c = 0; c < 5; c++) {
      const of = Array.from(task.cluster.keys()).filter((token) => task.cluster[token] === c);
      const centre = Array.from(
        { length: width },
        (_, d) => of.reduce((sum, t) => sum + x[t * width + d], 0) / of.length,
      );
      const squares = of.reduce(
        (sum, t) => sum + centre.reduce((own, mean, d) => own + (x[t * width + d] - mean) ** 2, 0),
        0,
      );
      // Spread 0.5 over √(1 + 0.5²): a variance of 0.2, of 4 · tokens numbers.
      const error = 0.2 * Math.sqrt(2 / (of.length * width));
      expect(Math.abs(squares / (of.length * width) - 0.2)).toBeLessThan(standardErrors * error);
    }
  });

  it("have one map for each cluster: with vectors of one number, one factor", () => {
    const { task } = open({}, 1);
    task.draw(0);
    const [x, y] = [task.x, task.y];
    const factor = new Map<number, number>();
    for (const [token, c] of task.cluster.entries()) {
      if (!factor.has(c)) factor.set(c, y[token] / x[token]);
      // Two float32 roundings of each side.
      expect(Math.abs(y[token] - factor.get(c)! * x[token])).toBeLessThan(1e-6);
    }
    expect(new Set(Array.from(factor.values(), (value) => value.toFixed(3))).size).toBe(5);
  });

  it("have noise of their own on every step, and tokens another than targets", () => {
    const [clean, noisy] = [open({ clusters: 1 }, 1), open({ clusters: 1, noise: 1 }, 1)];
    const noises = [3, 7].flatMap((step) => {
      for (const { task } of [clean, noisy]) task.draw(step);
      const [right, target] = [clean, noisy].map(({ task }) => task.y);
      // With a single cluster tokens differ by their noise alone.
      return [Array.from(clean.task.x), Array.from(target, (value, token) => value - right[token])];
    });
    for (const [index, one] of noises.entries()) {
      for (const other of noises.slice(index + 1)) {
        // The correlation of independent normals has a standard deviation of 1 / √tokens.
        expect(Math.abs(sampleCorrelation(one, other))).toBeLessThan(standardErrors / Math.sqrt(tokens));
      }
    }
  });

  it("charge the noise alone where the answer is right, and depend on the seed and the step only", () => {
    const clean = open();
    const noisy = open({ noise: 0.3 });
    noisy.task.draw(7);
    clean.task.draw(3);
    clean.task.draw(7);
    expect(clean.task.x).toEqual(noisy.task.x);
    const errors = noisy.task.y.map((target, i) => (target - clean.task.y[i]) ** 2);
    const loss = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    // The mean of 8,000 squares of normals with deviation 0.3.
    expect(Math.abs(loss - 0.09)).toBeLessThan(standardErrors * 0.09 * Math.sqrt(2 / (tokens * 4)));
  });
});

import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createRandom } from "../../../src/core/random.ts";
import type { Stream, StreamContext, StreamKind, StreamShape } from "../../../src/core/streams/stream.ts";

/** A context for tests, with the reference kernels. */
export function testContext(shape: Partial<StreamShape> = {}, seed: string | number = 1, folder = "."): StreamContext {
  return {
    shape: { steps: 4, tokens: 16, experts: 8, ...shape },
    kernels: createReferenceKernels(),
    random: createRandom(seed),
    folder,
  };
}

/** Opens a stream with `options` as a scenario would give them, defaults filled in. */
export function openStream<Options>(
  kind: StreamKind<Options>,
  options: Record<string, unknown>,
  context: StreamContext,
): Promise<Stream> {
  return kind.create(context, kind.options.parse(options) as Options);
}

/** Copies of the logits of all batches that are left. */
export async function collectLogits(stream: Stream): Promise<Float32Array[]> {
  const batches: Float32Array[] = [];
  for (let batch = await stream.next(); batch !== null; batch = await stream.next()) {
    batches.push(batch.logits.slice(0, batch.tokens * batch.experts));
  }
  return batches;
}

/** All batches of a fresh stream. */
export async function generate<Options>(
  kind: StreamKind<Options>,
  options: Record<string, unknown>,
  shape: Partial<StreamShape> = {},
  seed: string | number = 1,
): Promise<Float32Array[]> {
  return collectLogits(await openStream(kind, options, testContext(shape, seed)));
}

/** How often each different row occurs, by the text of the row; rows are in the order of their first appearance. */
export function countRows(batches: Float32Array[], experts: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const logits of batches) {
    for (let row = 0; row < logits.length; row += experts) {
      const key = logits.subarray(row, row + experts).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return counts;
}

/** The mean logit of each expert in one batch. */
export function meanRow(logits: Float32Array, experts: number): Float64Array {
  const mean = new Float64Array(experts);
  for (let entry = 0; entry < logits.length; entry++) mean[entry % experts] += logits[entry];
  return mean.map((total) => (total * experts) / logits.length);
}

/** Root of the mean squared difference. */
export function distance(left: ArrayLike<number>, right: ArrayLike<number>): number {
  let squares = 0;
  for (let i = 0; i < left.length; i++) squares += (left[i] - right[i]) ** 2;
  return Math.sqrt(squares / left.length);
}

/**
 * Counts within this many standard errors √(N·p·(1 − p)) of N·p count as agreeing. A correct generator fails one such
 * comparison in 1.7 million seeds; the seeds are fixed.
 */
export const standardErrors = 5;

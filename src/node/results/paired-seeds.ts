import { cellOf, numberOf, type Results, type Run } from "../../core/results/results.ts";
import type { Variant } from "../../core/results/variants.ts";
import { findStreamKind } from "../../core/streams/index.ts";

/** A variant and the results that it is of. */
export interface VariantOf {
  readonly results: Results;
  readonly variant: Variant;
}

/** Tells what batches a run's routers saw, apart from the seed; equal texts are the same batches, null is not known. */
export type StreamOf = (run: Run) => string | null;

/** A {@link StreamOf} that reads each run.json once. Throws `InputError` where one is not JSON. */
export function createStreamReader(): StreamOf {
  const known = new Map<Run, string | null>();
  return (run) => {
    const stream = known.has(run) ? known.get(run)! : readStream(run);
    known.set(run, stream);
    return stream;
  };
}

/** Of a stream that sees the router's load each router has its own, and no two share batches. */
function readStream({ files }: Run): string | null {
  const { scenario, input } = (files.record() ?? {}) as { scenario?: Record<string, unknown>; input?: unknown };
  const { stream, steps, tokens, experts } = scenario ?? {};
  const kind = findStreamKind(String((stream as { kind?: unknown } | null | undefined)?.kind));
  if (kind === undefined || kind.feedback !== undefined) return null;
  return JSON.stringify([stream, steps, tokens, experts, input]);
}

/**
 * What the values of `column` of `one` are above those of `reference`, a difference a seed, where both ran the very same
 * seeds, two or more, on the same stream, and all have the metric; null otherwise.
 */
export function pairedDifferences(
  reference: VariantOf,
  one: VariantOf,
  column: string,
  streamOf: StreamOf,
): readonly number[] | null {
  const [expected, found] = [reference, one].map(membersBySeed);
  if (expected === null || found === null || expected.size < 2 || found.size !== expected.size) return null;
  const differences: number[] = [];
  for (const [seed, { run, row }] of expected) {
    const partner = found.get(seed);
    if (partner === undefined) return null;
    const stream = streamOf(run);
    if (stream === null || stream !== streamOf(partner.run)) return null;
    const [from, to] = [
      numberOf(reference.results.summary, row, column),
      numberOf(one.results.summary, partner.row, column),
    ];
    if (from === null || to === null) return null;
    differences.push(to - from);
  }
  return differences;
}

/** The variant's runs by their seeds; null where two have the same. */
function membersBySeed({ results: { summary }, variant: { members } }: VariantOf) {
  const bySeed = new Map(members.map((member) => [cellOf(summary, member.row, "seed"), member]));
  return bySeed.size === members.length ? bySeed : null;
}

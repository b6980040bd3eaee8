import { adversarialKind } from "./adversarial.ts";
import { burstyKind } from "./bursty.ts";
import { clustersKind } from "./clusters.ts";
import { driftKind } from "./drift.ts";
import { gaussianKind } from "./gaussian.ts";
import type { StreamKind } from "./stream.ts";
import { traceKind } from "./trace.ts";
import { trainingKind } from "./training.ts";
import { zipfTextKind } from "./zipf-text.ts";

/** Every kind of token stream, in the order of `list streams`. A new one needs its file and a line here. */
const kinds = [
  gaussianKind,
  clustersKind,
  driftKind,
  burstyKind,
  adversarialKind,
  zipfTextKind,
  trainingKind,
  traceKind,
] as const;

export const streamKinds: readonly StreamKind[] = kinds;

/** Type of each kind, which carries its name and its options. */
export type KnownStreamKind = (typeof kinds)[number];

/** Returns the kind of a scenario's stream, which must exist. */
export function streamKindOf({ kind }: { readonly kind: string }): StreamKind {
  const found = findStreamKind(kind);
  if (found === undefined) throw new Error(`There is no stream of kind "${kind}".`);
  return found;
}

/** Returns the stream kind named `kind`, or undefined if there is none. */
export function findStreamKind(kind: string): StreamKind | undefined {
  return streamKinds.find((candidate) => candidate.kind === kind);
}

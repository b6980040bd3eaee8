import { createRegistry } from "../registry.ts";
import { adversarialKind } from "./adversarial.ts";
import { burstyKind } from "./bursty.ts";
import { clustersKind } from "./clusters.ts";
import { driftKind } from "./drift.ts";
import { gaussianKind } from "./gaussian.ts";
import { skewedKind } from "./skewed.ts";
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
  skewedKind,
  trainingKind,
  traceKind,
] as const;

const registry = createRegistry<StreamKind>("stream", kinds);

/** Every kind, those that plugins added included. */
export const streamKinds = registry.kinds;

/** Type of each kind, which carries its name and its options. */
export type KnownStreamKind = (typeof kinds)[number];

export const {
  /** Returns the kind of a scenario's stream, which must exist. */
  kindOf: streamKindOf,
  /** Returns the stream kind of that name, or undefined if there is none. */
  find: findStreamKind,
  /** Adds a plugin's kind. */
  add: addStreamKind,
} = registry;

import type { ScoreKind } from "../assignment.ts";
import type { CapacityPolicy } from "../metrics/drops.ts";

/** One router of a scenario: its kind, its name, and the options as its kind's schema returned them. */
export interface RouterChoice {
  readonly kind: string;
  /** Unique in the scenario. */
  readonly name: string;
  readonly scores: ScoreKind;
  readonly options: Readonly<Record<string, unknown>>;
}

/** The stream of a scenario: its kind, and the options as its schema returned them. */
export interface StreamChoice {
  readonly kind: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** A scenario with every default and every size filled in. Plain data: it travels to worker threads and into run.json. */
export interface Scenario {
  readonly name: string;
  readonly description: string;
  /** Routers, streams and metrics that it needs, some of plugins; absent if it names none. */
  readonly requires?: readonly string[];
  /** The published model that sizes and routers were taken from, unless the scenario gave its own; absent if none. */
  readonly model?: string;
  readonly seed: number;
  readonly steps: number;
  readonly tokens: number;
  readonly experts: number;
  readonly topK: number;
  readonly capacityFactor: number;
  readonly capacity: CapacityPolicy;
  readonly ranks: number;
  readonly deadWindow: number;
  readonly loadSamples: number;
  /** Affinities in which score, optimum and regret of all routers are measured, whatever each router selects by. */
  readonly measure: { readonly scores: ScoreKind };
  /** The optimum is computed on one random step of every `every` (never if 0), and to within `gap` per pair. */
  readonly regret: { readonly every: number; readonly gap: number };
  readonly stream: StreamChoice;
  readonly routers: readonly RouterChoice[];
  /** Folder of the scenario file; the stream's relative paths are resolved against it first. */
  readonly folder: string;
}

/** Returns the scenario in the form of a scenario file, with every default and size written out. */
export function toScenarioFile(scenario: Scenario): object {
  const { stream, routers, folder: _, ...sizes } = scenario;
  return {
    ...sizes,
    stream: { kind: stream.kind, ...stream.options },
    routers: routers.map(({ kind, name, scores, options }) => ({ kind, label: name, scores, ...options })),
  };
}

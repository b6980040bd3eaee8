import type { ScoreKind } from "../assignment.ts";
import { InputError } from "../input-error.ts";
import type { AuxLossRule } from "../metrics/aux-loss.ts";
import type { CapacityPolicy, DropRanking } from "../metrics/drops.ts";
import type { RefitRule } from "../placement/refitted.ts";
import { createRandom, type RandomSource } from "../random.ts";
import { rangesText } from "../words.ts";

/** Where a scenario's experts are, and how often they are placed again. `gpus` are its ranks. */
export interface PlacementRule extends RefitRule {
  readonly gpus: number;
  readonly nodes: number;
  readonly slots: number;
  readonly groups: number;
  /** Relative gap to the lower bound at which `balanced` stops. */
  readonly gap: number;
  /** Time to move one expert, in balanced steps. */
  readonly moveCost: number;
}

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
  readonly dropBy: DropRanking;
  /** Maximum number of further experts that `capacity: reroute` tries for a pair. */
  readonly rerouteDepth: number;
  readonly ranks: number;
  /** Where the experts are; absent if they are in order on `ranks`. */
  readonly placement?: PlacementRule | undefined;
  readonly deadWindow: number;
  readonly loadSamples: number;
  /** `scores`: affinities in which score, optimum and regret of all routers are measured, whatever each router selects by. */
  readonly measure: { readonly scores: ScoreKind; readonly auxLoss: AuxLossRule };
  /** The optimum is computed on one random step of every `every` (never if 0), and to within `gap` per pair. */
  readonly regret: { readonly every: number; readonly gap: number };
  readonly stream: StreamChoice;
  readonly routers: readonly RouterChoice[];
  /** Ids of the stream's layers, rising, each simulated on its own; absent for data and streams without layers. */
  readonly layers?: readonly number[] | undefined;
  /** Ids of layers of the recording without logits: they are reported, and in no mean. */
  readonly absentLayers?: readonly number[] | undefined;
  /** Why the stream's file may not hold logits; absent if it looks like it does. */
  readonly warnings?: readonly string[] | undefined;
  /** Folder of the scenario file; the stream's relative paths are resolved against it first. */
  readonly folder: string;
}

/** Returns the scenario in the form of a scenario file, with every default and size written out. */
export function toScenarioFile(scenario: Scenario): object {
  // Layers and warnings follow from the stream's options and its file.
  const { stream, routers, layers: _l, absentLayers: _a, warnings: _w, folder: _f, ...sizes } = scenario;
  return {
    ...sizes,
    stream: { kind: stream.kind, ...stream.options },
    routers: routers.map(({ kind, name, scores, options }) => ({ kind, label: name, scores, ...options })),
  };
}

/**
 * Returns the scenario that {@link toScenarioFile} wrote out as `written`, with the `layers` that it had and without a folder.
 * Checks nothing: `resolveScenario` reads a scenario file.
 */
export function fromScenarioFile(written: object, layers?: readonly number[]): Scenario {
  const { stream, routers, ...sizes } = written as WrittenOut;
  const { kind, ...options } = stream;
  return {
    ...sizes,
    stream: { kind, options },
    routers: routers.map(({ kind, label, scores, ...options }) => ({ kind, name: label, scores, options })),
    layers,
    folder: ".",
  };
}

type WrittenOut = Omit<Scenario, "stream" | "routers" | "layers" | "absentLayers" | "folder"> & {
  readonly stream: { readonly kind: string; readonly [option: string]: unknown };
  readonly routers: readonly {
    readonly kind: string;
    readonly label: string;
    readonly scores: ScoreKind;
    readonly [option: string]: unknown;
  }[];
};

/** Returns whether results of the scenario are of several layers. */
export function hasLayers({ layers = [] }: Pick<Scenario, "layers">): boolean {
  return layers.length > 1;
}

/** Returns a scenario for each layer, in which it is the only one; the scenario itself if it has at most one. */
export function scenariosOfLayers(scenario: Scenario): Scenario[] {
  if (!hasLayers(scenario)) return [scenario];
  return scenario.layers!.map((layer) => ({ ...scenario, layers: [layer] }));
}

/**
 * Returns the scenario with `layer` as its only one. Throws `InputError` if `layer` is not one of its layers, or missing
 * and there are several.
 */
export function scenarioOfLayer(scenario: Scenario, layer: number | undefined): Scenario {
  if (!hasLayers(scenario)) {
    if (layer === undefined || scenario.layers?.[0] === layer) return scenario;
    throw new InputError(`layer: ${layer}: the scenario has one layer; leave it out`);
  }
  const layers = scenario.layers!;
  if (layer !== undefined && layers.includes(layer)) return { ...scenario, layers: [layer] };
  throw new InputError(
    `layer: ${layer ?? "missing"}; the scenario has the layers ${rangesText(layers)}; simulate them one by one`,
  );
}

/**
 * Returns the source of all random numbers of a scenario of one layer. It depends on the seed and the layer's id alone,
 * so neither the order nor the selection of layers changes a layer's numbers. Layer 0 has those of a scenario without
 * layers.
 */
export function randomOf({ seed, layers: [layer = 0] = [] }: Pick<Scenario, "seed" | "layers">): RandomSource {
  const random = createRandom(seed);
  return layer === 0 ? random : random.derive(`layer/${layer}`);
}

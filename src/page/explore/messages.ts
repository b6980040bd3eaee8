import type { ScoreKind } from "../../core/assignment.ts";
import type { WrittenScenario } from "./view.ts";

/** A kind of router or stream, for the page's controls. */
export interface KindFacts {
  readonly kind: string;
  readonly summary: string;
  readonly source: string;
  /** JSON Schema of its options. */
  readonly options: { readonly properties?: Readonly<Record<string, OptionSchema>> };
}

/** The part of JSON Schema that options use. */
export interface OptionSchema {
  readonly type?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly exclusiveMaximum?: number;
  readonly description?: string;
  readonly oneOf?: readonly OptionSchema[];
  readonly anyOf?: readonly OptionSchema[];
  readonly properties?: Readonly<Record<string, OptionSchema>>;
}

/** A metric of each step, from the catalogue. */
export interface MetricFacts {
  readonly id: string;
  readonly label: string;
  readonly unit: string;
  readonly definition: string;
}

export interface ModelFacts {
  readonly name: string;
  readonly experts: number;
  readonly topK: number;
}

/** All that the page's controls and readings are made of. */
export interface Facts {
  readonly version: string;
  readonly routers: readonly KindFacts[];
  readonly streams: readonly KindFacts[];
  readonly models: readonly ModelFacts[];
  readonly metrics: readonly MetricFacts[];
}

/** A router of a resolved scenario. */
export interface RouterFacts {
  readonly name: string;
  readonly kind: string;
  readonly scores: ScoreKind;
  readonly hasBias: boolean;
}

/** A resolved scenario, as far as the page shows it. */
export interface ResolvedFacts {
  readonly steps: number;
  readonly tokens: number;
  readonly experts: number;
  readonly topK: number;
  /** Ids of the layers to choose from, if a recording has several. */
  readonly layers: readonly number[];
  readonly routers: readonly RouterFacts[];
}

/** The metrics whose lines the page draws. */
export const seriesMetrics = ["max_vio", "idle_fraction", "score", "regret", "task_loss"] as const;

/** What one router did on the last step. */
export interface RouterFrame {
  /** `[experts]`, in pairs, before drops. */
  readonly load: Int32Array;
  /** `[experts]`, after the step; null for routers without one. */
  readonly bias: Float64Array | null;
  /** Values of the metrics of steps.csv and diagnostics.csv by id; null if one does not apply. */
  readonly figures: Readonly<Record<string, number | null>>;
}

/** Where the tokens of a step go. Rows are tokens ordered by their best expert, and neighbours of both are averaged. */
export interface HeatMap {
  readonly rows: number;
  readonly columns: number;
  readonly tokens: number;
  /** Per router `[rows × columns]`: the share of the tokens' mass, times the experts; 1 if it is spread evenly. */
  readonly values: readonly Float32Array[];
  /** Per router: whether it shows its transport plan of this step; otherwise its selection. */
  readonly isPlan: readonly boolean[];
}

/** A picture of a run: its last step, and the series of the steps since the picture before. */
export interface Frame {
  readonly kind: "frame";
  readonly id: number;
  readonly steps: number;
  readonly isDone: boolean;
  /** Milliseconds that the last step took: all routers, with their metrics. */
  readonly stepMs: number;
  /** Tokens of the last step. */
  readonly tokens: number;
  /** Pairs that an expert can take on the last step. */
  readonly capacity: number;
  readonly routers: readonly RouterFrame[];
  readonly from: number;
  /** `[routers][metrics of seriesMetrics][steps − from]`, NaN if a value does not apply. */
  readonly series: readonly (readonly Float64Array[])[];
  readonly heatMap: HeatMap | null;
}

export type ToWorker =
  | { readonly kind: "install"; readonly kernels: ArrayBuffer; readonly files: ReadonlyMap<string, Blob> }
  | { readonly kind: "files"; readonly files: ReadonlyMap<string, Blob> }
  /** Starts a scenario over and simulates `steps` of it. */
  | { readonly kind: "ask"; readonly id: number; readonly scenario: WrittenScenario; readonly steps: number }
  /** Continues the scenario asked last, up to `steps`. */
  | { readonly kind: "continue"; readonly id: number; readonly steps: number }
  /** Reads a file as a scenario; the answer is null if it is not one. */
  | { readonly kind: "read"; readonly id: number; readonly name: string }
  /** Resolves a scenario and reads the first batch of its stream, to find out whether it can be shown. */
  | { readonly kind: "try"; readonly id: number; readonly scenario: WrittenScenario }
  /** Proves the frontier of the last batch and the best bias of all `steps`. */
  | { readonly kind: "prove"; readonly id: number; readonly scenario: WrittenScenario; readonly steps: number }
  /** Simulates the scenario as the command line does, and returns its files. */
  | { readonly kind: "write"; readonly id: number; readonly scenario: WrittenScenario };

/** An assignment that nobody beats: with a MaxVio of at most `maxVio`, no choice of K experts per token scores more. */
export interface FrontierPoint {
  readonly capacity: number;
  /** C / L − 1. */
  readonly maxVio: number;
  /** Proven bound of the score of a pair. */
  readonly score: number;
  /** How far the bound may be from the best. */
  readonly gap: number;
}

/** The best fixed bias b* of all steps so far. */
export interface BestBias {
  readonly scores: ScoreKind;
  /** `[experts]`, with mean 0. */
  readonly bias: Float64Array;
  /** Proven: no bias has a dual value that is lower by more, per step. */
  readonly gap: number;
  /** Fraction of all tokens that it is based on. */
  readonly keptFraction: number;
}

/** The files of a run, by name. */
export type RunFiles = Readonly<Record<"scenario.yaml" | "summary.csv" | "steps.csv", string>>;

export type FromWorker =
  | { readonly kind: "installed"; readonly facts: Facts }
  | { readonly kind: "answer"; readonly id: number; readonly resolved: ResolvedFacts }
  | Frame
  | { readonly kind: "scenario"; readonly id: number; readonly scenario: unknown }
  | { readonly kind: "tried"; readonly id: number }
  | {
      readonly kind: "frontier";
      readonly id: number;
      readonly points: readonly FrontierPoint[];
      readonly isDone: boolean;
    }
  | { readonly kind: "best"; readonly id: number; readonly best: BestBias }
  | { readonly kind: "proved"; readonly id: number; readonly note: string }
  | { readonly kind: "written"; readonly id: number; readonly files: RunFiles }
  | { readonly kind: "progress"; readonly id: number; readonly steps: number; readonly of: number }
  | { readonly kind: "problem"; readonly id: number; readonly message: string };

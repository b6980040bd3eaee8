/**
 * The diagnosis of a recording: how unbalanced each layer is, whether that is chance, and what would help, with a verdict. This
 * is the file to read first; `layer.ts` measures a layer, and `verdict.ts` judges it.
 */
import { mostExperts, type ScoreKind } from "../assignment.ts";
import { leastExperts } from "../formats/recorded-choices.ts";
import type { Content, Recording } from "../formats/recording.ts";
import { InputError } from "../input-error.ts";
import { type PlacementShape, shapeProblem } from "../placement/placement.ts";
import { counted, rangesText } from "../words.ts";
import { createLayerDiagnoser, type LayerFigures, type LayerOptions } from "./layer.ts";
import { type Origin, originOf, type Verdict, type VerdictKind, verdictKinds, verdictOf } from "./verdict.ts";

/** How to diagnose a recording. */
export interface DiagnosisOptions {
  /** Experts of the model, if the files do not say. */
  readonly experts?: number | undefined;
  /** Experts per token, for logits. */
  readonly topK?: number | undefined;
  /** Tokens per batch, if the files have no steps. */
  readonly batchTokens?: number | undefined;
  /** File that marks padding. */
  readonly paddingMask?: string | undefined;
  /** Affinities that the bias is added to; default `softmax`. */
  readonly scores?: ScoreKind | undefined;
  /** GPUs of expert parallelism; default: placement is not judged. */
  readonly gpus?: number | undefined;
  /** Nodes with equally many GPUs; default 1. */
  readonly nodes?: number | undefined;
  /** Groups of experts, each of which stays on a node if `nodes` divides `groups`; default 1. */
  readonly groups?: number | undefined;
  /** Capacity factor of the certified optimum, > 0; default 1. */
  readonly capacityFactor?: number | undefined;
  /** Share of the pairs that remedies are fitted to, in (0, 1); default 0.5. */
  readonly split?: number | undefined;
}

/** A layer's figures, where its imbalance comes from, and the verdict. */
export interface LayerDiagnosis extends LayerFigures {
  /** Null if chance is unknown. */
  readonly origin: Origin | null;
  readonly verdict: Verdict;
}

/** The diagnosis of a recording. Plain data. */
export interface Diagnosis {
  /** The files' name. */
  readonly name: string;
  /** What the files were taken for. */
  readonly recording: string;
  /** What a reader should know besides. */
  readonly notes: readonly string[];
  readonly holds: Content;
  /** Of the model. */
  readonly experts: number;
  readonly topK: number | null;
  readonly scores: ScoreKind;
  /** What a batch is, such as `a step` or `256 consecutive tokens`. */
  readonly batch: string;
  readonly split: number;
  readonly capacityFactor: number;
  /** GPUs, nodes and slots of a placement without replicas; null without GPUs. */
  readonly shape: PlacementShape | null;
  /** By rising number of the layer. */
  readonly layers: readonly LayerDiagnosis[];
  /** Layers without a pair: dense ones, or not recorded. */
  readonly absentLayers: readonly number[];
}

/** A diagnosis before its layers are measured. Plain data. */
export type DiagnosisPlan = Omit<Diagnosis, "layers" | "absentLayers"> & { readonly options: LayerOptions };

/** Recordings of fewer steps are cut into blocks of tokens, about {@link wantedBlocks}, but not below one pair per expert. */
const fewestSteps = 16;
const [fewestBlocks, wantedBlocks] = [8, 32];
/** Logits of a batch, at most. */
const mostBatchLogits = 2 ** 22;

/**
 * Checks how to diagnose `recording`, and decides what a batch is. Throws `InputError` for options that do not suit it, or if
 * it holds nothing to diagnose.
 */
export async function planDiagnosis(recording: Recording, options: DiagnosisOptions): Promise<DiagnosisPlan> {
  const { name, holds, hasSteps } = recording;
  const { batchTokens, paddingMask, scores = "softmax", capacityFactor = 1, split = 0.5 } = options;
  if (holds === "balancedness") throw new InputError(`${name}: a log of balancedness has no loads to diagnose`);
  if (holds === "loads" && batchTokens !== undefined) {
    throw new InputError(`${name}: loads are already in steps; leave batchTokens out`);
  }
  if (hasSteps && batchTokens !== undefined) {
    throw new InputError(`${name}: the recording already has steps; leave batchTokens out`);
  }
  if (paddingMask !== undefined && holds === "loads") {
    throw new InputError(`${name}: loads have no tokens, so no padding either; leave the padding mask out`);
  }
  if (holds === "logits" && options.topK === undefined) {
    throw new InputError(`${name}: it holds logits; say how many experts per token (topK)`);
  }
  const notes = [...recording.notes];
  const experts = recording.experts ?? options.experts ?? (await leastExperts(recording, batchTokens));
  if (!(experts >= 1 && experts <= mostExperts)) {
    throw new InputError(`${name}: no token has an expert; say how many experts there are`);
  }
  if (recording.experts === null && options.experts === undefined) {
    notes.push(
      `The files do not say how many experts there are: ${experts} are assumed, up to the last one chosen. Give the number (--experts) ` +
        "if there are more.",
    );
  }
  const topK = holds === "logits" ? options.topK! : recording.topK;
  if (topK !== null && topK > experts) {
    throw new InputError(
      `${name}: ${counted(topK, "expert")} per token, but it has only ${counted(experts, "expert")}`,
    );
  }
  if (holds === "selections") {
    const beside =
      recording.beside?.holds === "logits" ? " To diagnose the logits beside them, read the files as logits." : "";
    notes.push(`Choices have no logits, so no bias is fitted, and there is no score.${beside}`);
  }
  if (holds === "loads") notes.push("Loads have no logits, so no bias is fitted, and there is no score.");
  const shape = shapeOf(options, experts);
  const mostTokens = holds === "loads" ? undefined : blockTokens(recording, topK!, experts, batchTokens);
  const batch =
    mostTokens !== undefined
      ? consecutive(mostTokens)
      : batchTokens !== undefined
        ? consecutive(batchTokens)
        : "a step";
  if (mostTokens !== undefined) {
    const why = hasSteps ? "The recording has few steps, or long ones" : "The recording has no steps";
    const how = hasSteps ? "" : ", unless you give the tokens of a step";
    notes.push(
      `${why}: blocks of ${mostTokens === 1 ? "a single token" : `up to ${mostTokens} consecutive tokens`} stand for batches${how}.`,
    );
  }
  return {
    name,
    recording: recording.description,
    notes,
    holds,
    experts,
    topK,
    scores,
    batch,
    split,
    capacityFactor,
    shape,
    options: { experts, topK, scores, batchTokens, mostTokens, paddingMask, shape, capacityFactor, split },
  };
}

function consecutive(tokens: number): string {
  return tokens === 1 ? "a token" : `${tokens} consecutive tokens`;
}

function shapeOf({ gpus, nodes = 1, groups = 1 }: DiagnosisOptions, experts: number): PlacementShape | null {
  if (gpus === undefined) {
    if (nodes === 1 && groups === 1) return null;
    throw new InputError(`${nodes === 1 ? "groups" : "nodes"}: only together with gpus`);
  }
  const shape = { experts, gpus, nodes, groups, slots: Math.ceil(experts / gpus) * gpus };
  const problem = shapeProblem(shape);
  if (problem !== null) throw new InputError(`${problem.field}: ${problem.message}`);
  return shape;
}

/** Returns how many tokens a block has if steps must be cut; undefined if batches are the steps. */
function blockTokens(
  recording: Recording,
  topK: number,
  experts: number,
  batchTokens: number | undefined,
): number | undefined {
  const readers = recording.layers.map((id) => recording.layer(id, batchTokens));
  const steps = Math.max(...readers.map((reader) => reader.steps));
  const tokens = Math.max(...readers.map((reader) => reader.tokens ?? 0));
  const most = Math.max(1, Math.floor(mostBatchLogits / experts));
  const limit = recording.holds === "logits" && tokens > most ? most : undefined;
  if (batchTokens !== undefined || steps >= fewestSteps || tokens === 0) return limit;
  const blocks = Math.min(wantedBlocks, Math.max(fewestBlocks, Math.floor((steps * tokens * topK) / experts)));
  return Math.min(limit ?? Number.POSITIVE_INFINITY, Math.ceil(tokens / Math.ceil(blocks / steps)));
}

/** Adds the verdict to the figures of a layer. */
export function judged(figures: LayerFigures): LayerDiagnosis {
  return { ...figures, origin: originOf(figures), verdict: verdictOf(figures) };
}

/** Completes a diagnosis with its layers, null for those without a pair. Throws `InputError` if no layer has one. */
export function diagnosisOf(
  { options: _, ...plan }: DiagnosisPlan,
  measured: readonly (readonly [layer: number, figures: LayerFigures | null])[],
): Diagnosis {
  const layers = measured.flatMap(([, figures]) => (figures === null ? [] : [judged(figures)]));
  if (layers.length === 0) throw new InputError(`${plan.name}: empty stream: no layer has a load`);
  const absentLayers = measured.filter(([, figures]) => figures === null).map(([layer]) => layer);
  return { ...plan, layers, absentLayers };
}

/**
 * Diagnoses every layer of `recording`. Throws `InputError` as {@link planDiagnosis} does, and if the data is bad. The recording
 * stays open.
 */
export async function diagnoseRecording(recording: Recording, options: DiagnosisOptions): Promise<Diagnosis> {
  const plan = await planDiagnosis(recording, options);
  const diagnose = createLayerDiagnoser(recording, plan.options);
  const measured: [number, LayerFigures | null][] = [];
  for (const layer of recording.layers) measured.push([layer, await diagnose(layer)]);
  return diagnosisOf(plan, measured);
}

/** Returns the layers, the most unbalanced above chance first; ties by number. */
export function worstFirst({ layers }: Pick<Diagnosis, "layers">): LayerDiagnosis[] {
  const badness = ({ excess, slowdownExcess }: LayerDiagnosis) => excess?.mean ?? slowdownExcess.mean;
  return layers.toSorted((a, b) => badness(b) - badness(a) || a.layer - b.layer);
}

/** Returns how many layers have each verdict, those that most have first; without verdicts that none has. */
export function countVerdicts({ layers }: Pick<Diagnosis, "layers">): readonly {
  readonly kind: VerdictKind;
  readonly layers: readonly number[];
}[] {
  return verdictKinds
    .map((kind) => ({ kind, layers: layers.filter(({ verdict }) => verdict.kind === kind).map(({ layer }) => layer) }))
    .filter((one) => one.layers.length > 0)
    .sort((a, b) => b.layers.length - a.layers.length);
}

/** Returns the diagnosis in a few sentences: how many layers have which verdict, then the reason of the worst one. */
export function headline(diagnosis: Diagnosis): string[] {
  const { layers, absentLayers } = diagnosis;
  const [worst] = worstFirst(diagnosis);
  const verdicts = countVerdicts(diagnosis);
  const isOne = absentLayers.length === 1;
  const absent =
    absentLayers.length === 0
      ? []
      : [
          `${isOne ? "Layer" : "Layers"} ${rangesText(absentLayers)} ${isOne ? "has" : "have"} no load (dense layers, or not ` +
            "recorded): left out.",
        ];
  if (layers.length === 1) return [`${capitalized(worst.verdict.kind)}.`, worst.verdict.reason, ...absent];
  const named = verdicts.map(
    ({ kind, layers: { length }, layers: ids }) => `${kind}: ${counted(length, "layer")} (${rangesText(ids)})`,
  );
  return [`${capitalized(named.join("; "))}.`, `Worst, layer ${worst.layer}: ${worst.verdict.reason}`, ...absent];
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

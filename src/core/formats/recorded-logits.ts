import { InputError } from "../input-error.ts";
import { counted, rangesText } from "../words.ts";
import {
  type InputKind,
  type LayerReader,
  type LayerSelection,
  layersNamed,
  noLayersText,
  openRecording,
  type RecordedSources,
} from "./recording.ts";

/** What a dimension of recorded logits counts. */
export const logitAxes = ["steps", "layers", "tokens", "experts"] as const;
export type LogitAxis = (typeof logitAxes)[number];

export interface LogitsOptions {
  /** In the order of the tensor's dimensions; default: by their number. */
  readonly axes?: readonly LogitAxis[] | undefined;
  /** Tensor of several; `*` stands for the layer. */
  readonly tensor?: string | undefined;
  /** Column of a table. */
  readonly column?: string | undefined;
  /** What the numbers are; they become logits. */
  readonly input?: InputKind | undefined;
}

/** Recorded logits, one layer at a time; memory does not grow with the file. */
export interface RecordedLogits {
  readonly file: string;
  /** What the file is and its sizes, for messages. */
  readonly description: string;
  /** The model's ids of the layers with logits, rising; null if the file has only one, and the options name no layers. */
  readonly layers: readonly number[] | null;
  /** The ids of layers without a row, such as dense ones. */
  readonly absentLayers: readonly number[];
  /** Null if the file has no steps: its tokens must be cut into batches. */
  readonly steps: number | null;
  /** Most tokens of a step of a layer; without steps, all of a layer's tokens. */
  readonly tokens: number;
  /** Tokens of all steps of a layer. */
  readonly rows: number;
  readonly experts: number;
  /** Sentences about what was left out or assumed. */
  readonly notes: readonly string[];
  /** Sentences that say why the numbers may not be logits. */
  readonly warnings: readonly string[];
  /**
   * Opens the logits of `layer`, one of {@link layers}; null stands for the only layer of a file. Its rows are tokens,
   * step after step.
   */
  open(layer: number | null): LogitRows;
  close(): Promise<void>;
}

/** The rows of one layer, from front to back. */
export type LogitRows = Pick<LayerReader, "read">;

/**
 * Opens the logits of a recording, from any files that {@link openRecording} reads. Owns them from then on. Throws
 * `InputError` as that does, if the files hold anything else, and if their layers differ in steps or tokens.
 */
export async function openRecordedLogits(
  recorded: RecordedSources,
  options: LogitsOptions = {},
): Promise<RecordedLogits> {
  const recording = await openRecording(recorded, { ...options, as: "logits" });
  try {
    const { name, description, hasSteps } = recording;
    const sizes = recording.layers.map((layer) => recording.layer(layer));
    const present = sizes.filter(({ steps }) => steps > 0);
    const [first] = present;
    const { steps, rows, tokens, columns: experts } = first;
    const odd = present.find((each) => each.steps !== steps || each.tokens !== tokens || each.rows !== rows);
    if (odd !== undefined) {
      const sizeOf = (layer: LayerReader) =>
        `layer ${layer.id} has ${counted(layer.rows, "token")} in ${counted(layer.steps, "step")}`;
      throw new InputError(`${name}: the layers differ in shape: ${sizeOf(first)}, ${sizeOf(odd)}`);
    }
    // A single layer is one of a model's only if somebody asks for layers: it then has that layer's random numbers.
    const isLayered =
      recording.layers.length > 1 ||
      options.tensor?.includes("*") === true ||
      options.axes?.includes("layers") === true;
    return {
      file: name,
      description,
      layers: isLayered ? present.map(({ id }) => id) : null,
      absentLayers: sizes.filter((layer) => layer.steps === 0).map(({ id }) => id),
      steps: hasSteps ? steps : null,
      tokens: tokens ?? 0,
      rows,
      experts,
      notes: recording.notes,
      warnings: recording.warnings,
      open: (layer) => recording.layer(layer ?? first.id),
      close: () => recording.close(),
    };
  } catch (error) {
    await recording.close();
    throw error;
  }
}

/**
 * Returns those of `layers` that `selection` names, rising; all if it names none. Throws `InputError` if one is not among
 * `layers` and `absent`.
 */
export function selectLayers(
  { file, layers, absentLayers }: Pick<RecordedLogits, "file" | "layers" | "absentLayers">,
  selection: LayerSelection | undefined,
): { layers: readonly number[]; absentLayers: readonly number[] } | null {
  if (layers === null) {
    if (selection === undefined) return null;
    throw new InputError(noLayersText(file));
  }
  if (selection === undefined) return { layers, absentLayers };
  const known = [...layers, ...absentLayers].sort((a, b) => a - b);
  const wanted = layersNamed(file, known, selection);
  const selected = layers.filter((layer) => wanted.has(layer));
  if (selected.length === 0) {
    throw new InputError(
      `${file}: layers: ${rangesText([...wanted])} have no logits; select one of ${rangesText(layers)}`,
    );
  }
  return { layers: selected, absentLayers: absentLayers.filter((layer) => wanted.has(layer)) };
}

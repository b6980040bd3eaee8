import { choicesByLayer } from "../../core/formats/recorded-choices.ts";
import type { Recording } from "../../core/formats/recording.ts";
import { InputError } from "../../core/input-error.ts";
import { meanOfLayers } from "../../core/results/layers.ts";
import {
  type LayerRow,
  layersTable,
  type RowSource,
  type SummaryRow,
  summaryTable,
} from "../../core/results/result-columns.ts";
import { defaultLoadSamples } from "../../core/scenario/schema.ts";
import { measureChoices } from "../../core/simulation/recorded.ts";
import { loadSteps } from "../../core/simulation/router-run.ts";
import { createStepFiles, writeTable } from "../files/write-results.ts";

export interface MeasureOptions {
  /** Name of the recording in the files. */
  readonly name: string;
  readonly experts: number;
  /** Experts per token, for logits. */
  readonly topK?: number | undefined;
  /** Tokens per step, if the recording has no steps. */
  readonly batchTokens?: number | undefined;
  /** File that marks padding. */
  readonly paddingMask?: string | undefined;
  /** Devices of expert parallelism; divides the experts. */
  readonly ranks: number;
  /** Called with the number of steps measured so far, of all layers. */
  readonly onProgress: (steps: number) => void;
}

/** What was measured of a recording. */
export interface MeasuredRecording {
  /** Of its one layer, or the means over its layers. */
  readonly row: SummaryRow;
  /** By rising id; without absent layers. One row for a recording without layers. */
  readonly layers: readonly LayerRow[];
  /** Layers all of whose loads are 0: dense ones, in no mean. */
  readonly absentLayers: readonly number[];
  /** Most steps of any layer without a pair, in no mean. */
  readonly emptySteps: number;
}

/**
 * Measures what a real model did and writes summary.csv, steps.csv, loads.csv and diagnostics.csv into `folder`, with
 * router `recorded`, and layers.csv if there are several layers. Throws `InputError` if the data is bad, or holds nothing.
 */
export async function measureRecorded(
  recording: Recording,
  folder: string,
  { name, experts, topK, batchTokens, paddingMask, ranks, onProgress }: MeasureOptions,
): Promise<MeasuredRecording> {
  const source: RowSource = { scenario: name, router: "recorded", kind: "recorded", seed: null };
  const hasLayers = recording.layers.length > 1;
  const layerOf = choicesByLayer(recording, { experts, topK, batchTokens, paddingMask });
  const files = createStepFiles(folder, "none", hasLayers);
  const layers: LayerRow[] = [];
  const absentLayers: number[] = [];
  let emptySteps = 0;
  let done = 0;
  try {
    for (const layer of recording.layers) {
      const choices = layerOf(layer);
      // Recorded choices have no seed, and so always the same sample.
      const sampled = new Set(loadSteps({ steps: choices.steps, loadSamples: defaultLoadSamples, seed: 0 }));
      const place = hasLayers ? layer : undefined;
      const measured = await measureChoices(choices, ranks, (record) => {
        const { step, load } = record;
        files.write({ source, step, layer: place, figure: ({ value }) => value(record) });
        if (sampled.has(step)) files.writeLoad(source, step, load, place);
        onProgress(done + step + 1);
      }).finally(choices.close);
      done += choices.steps;
      if (measured === null) {
        absentLayers.push(layer);
        continue;
      }
      emptySteps = Math.max(emptySteps, measured.emptySteps);
      const sizes = { steps: measured.steps, tokens: measured.tokens, experts, topK: choices.topK };
      layers.push({ source, layer, sizes, summary: measured.summary });
    }
  } finally {
    files.close();
  }
  if (layers.length === 0) throw new InputError(`${recording.name}: empty stream: all its loads are 0`);
  const [first] = layers;
  const row: SummaryRow = hasLayers ? meanOfLayers(layers) : { source, sizes: first.sizes, summary: first.summary };
  writeTable(folder, summaryTable([row]));
  if (hasLayers) writeTable(folder, layersTable(layers));
  return { row, layers, absentLayers, emptySteps };
}

import type { ChoiceOptions } from "../../core/formats/recorded-choices.ts";
import type { Recording } from "../../core/formats/recording.ts";
import { meanOfLayers } from "../../core/results/layers.ts";
import {
  type LayerRow,
  layersTable,
  type RowSource,
  type SummaryRow,
  summaryTable,
} from "../../core/results/result-columns.ts";
import { defaultLoadSamples } from "../../core/scenario/schema.ts";
import { type MeasuredLayers, measureRecording } from "../../core/simulation/recorded.ts";
import { loadSteps } from "../../core/simulation/router-run.ts";
import { createStepFiles, writeTable } from "../files/write-results.ts";

export interface MeasureOptions extends ChoiceOptions {
  /** Name of the recording in the files. */
  readonly name: string;
  /** Devices of expert parallelism, at most as many as experts. */
  readonly ranks: number;
  /** Called with the number of steps measured so far, of all layers. */
  readonly onProgress: (steps: number) => void;
}

/** What was measured of a recording. */
export interface MeasuredRecording extends MeasuredLayers {
  /** Of its one layer, or the means over its layers. */
  readonly row: SummaryRow;
  readonly layers: readonly LayerRow[];
}

/**
 * Measures what a real model did and writes summary.csv, steps.csv, loads.csv and diagnostics.csv into `folder`, with
 * router `recorded`, and layers.csv if there are several layers. Throws `InputError` if the data is bad, or holds nothing.
 */
export async function measureRecorded(
  recording: Recording,
  folder: string,
  { name, onProgress, ...options }: MeasureOptions,
): Promise<MeasuredRecording> {
  const source: RowSource = { scenario: name, router: "recorded", kind: "recorded", seed: null };
  const hasLayers = recording.layers.length > 1;
  const files = createStepFiles(folder, "none", hasLayers);
  let measured: MeasuredLayers;
  let layerSampled: number | null = null;
  let sampled: ReadonlySet<number> = new Set();
  try {
    measured = await measureRecording(recording, options, (record, { layer, steps, stepsBefore }) => {
      const { step, load } = record;
      if (layer !== layerSampled) {
        layerSampled = layer;
        // Recorded choices have no seed, and so always the same sample.
        sampled = new Set(loadSteps({ steps, loadSamples: defaultLoadSamples, seed: 0 }));
      }
      const place = hasLayers ? layer : undefined;
      files.write({ source, step, layer: place, figure: ({ value }) => value(record) });
      if (sampled.has(step)) files.writeLoad(source, step, load, place);
      onProgress(stepsBefore + step + 1);
    });
  } finally {
    files.close();
  }
  const layers = measured.layers.map((layer): LayerRow => ({ ...layer, source }));
  const [{ sizes, summary }] = layers;
  const row: SummaryRow = hasLayers ? meanOfLayers(layers) : { source, sizes, summary };
  writeTable(folder, summaryTable([row]));
  if (hasLayers) writeTable(folder, layersTable(layers));
  return { ...measured, row, layers };
}

import { type Diagnosis, type DiagnosisOptions, diagnosisOf, planDiagnosis } from "../../core/diagnosis/diagnosis.ts";
import { createLayerDiagnoser, type LayerFigures, type LayerOptions } from "../../core/diagnosis/layer.ts";
import type { Recording, RecordingOptions } from "../../core/formats/recording.ts";
import { openRecordedFiles } from "../files/recorded-files.ts";
import { runOnThreads } from "./worker-pool.ts";

/** Some layers of a recording for one thread. Plain data. */
export interface LayersTask {
  readonly files: readonly string[];
  readonly reading: RecordingOptions;
  readonly options: LayerOptions;
  readonly layers: readonly number[];
}

type Measured = readonly (readonly [layer: number, figures: LayerFigures | null])[];

/** Opens the files in a thread, and diagnoses the task's layers; calls `onLayer` after each. */
export async function diagnoseLayers(
  { files, reading, options, layers }: LayersTask,
  onLayer: () => void,
): Promise<Measured> {
  const recording = await openRecordedFiles(files, reading);
  try {
    return await measureLayers(recording, options, layers, onLayer);
  } finally {
    await recording.close();
  }
}

async function measureLayers(
  recording: Recording,
  options: LayerOptions,
  layers: readonly number[],
  onLayer: () => void,
  signal?: AbortSignal,
): Promise<Measured> {
  const diagnose = createLayerDiagnoser(recording, options);
  const measured: [number, LayerFigures | null][] = [];
  for (const layer of layers) {
    signal?.throwIfAborted();
    measured.push([layer, await diagnose(layer)]);
    onLayer();
  }
  return measured;
}

export interface DiagnoseRecordedOptions extends DiagnosisOptions {
  /** Threads to use, at least 1; never more than there are layers. */
  readonly workers: number;
  /** Called after each layer. */
  readonly onLayer: () => void;
}

/**
 * Diagnoses a recording of `files`, opened with `reading`, its layers shared out over threads: the result is the same for any
 * number. Throws `InputError` as `planDiagnosis` does, and if the data is bad.
 */
export async function diagnoseRecorded(
  recording: Recording,
  files: readonly string[],
  reading: RecordingOptions,
  { workers, onLayer, ...how }: DiagnoseRecordedOptions,
): Promise<Diagnosis> {
  const plan = await planDiagnosis(recording, how);
  const { options } = plan;
  const count = Math.min(workers, recording.layers.length);
  // Opening the files can take as long as a layer, so each thread does it once.
  const tasks = Array.from({ length: count }, (_, worker): LayersTask => {
    return { files, reading, options, layers: recording.layers.filter((_, i) => i % count === worker) };
  });
  const measured = await runOnThreads<LayersTask, Measured, null>(
    "layers",
    tasks,
    count,
    onLayer,
    (task, tell, signal) => measureLayers(recording, options, task.layers, () => tell(null), signal),
  );
  return diagnosisOf(
    plan,
    measured.flat().sort(([a], [b]) => a - b),
  );
}

import { createHash } from "node:crypto";
import { z } from "zod";
import { InputError } from "../../core/input-error.ts";
import { kernelBackends } from "../../core/kernels/index.ts";
import { version } from "../../core/version.ts";
import { pluginRecords } from "../plugins.ts";

/**
 * What crosses the wire between a sweep and its workers, over a server of Redis or Valkey:
 *
 *     job        a cell to run: a job of BullMQ, in the queue of this version and these plugins
 *     file       a recording that cells read, by its digest
 *     result     the files of a finished cell, while the job's return value lists them
 *     sweep      which jobs are of a sweep, so that a later one can resume it
 *     collector  a sweep that is alive; worker: a worker that is. Both expire unless they are renewed
 *
 * No code crosses, and whatever comes from the server is checked like any other input.
 */

/** Begins the name of every key. */
export const keyPrefix = "moesim";

export const keys = {
  file: (sha256: string) => `${keyPrefix}:file:${sha256}`,
  result: (name: string) => `${keyPrefix}:result:${name}`,
  sweep: (digest: string) => `${keyPrefix}:sweep:${digest}`,
  collector: (sweep: string) => `${keyPrefix}:collector:${sweep}`,
  worker: (name: string) => `${keyPrefix}:worker:${name}`,
};

/** Seconds after which what nobody collects is forgotten: a week, longer than a holiday weekend. */
export const keptSeconds = 7 * 24 * 3600;
/** A collector and a worker renew their keys every `beatMs`; without it they are taken for dead after `deadMs`. */
export const beatMs = 3000;
export const deadMs = 15_000;

/**
 * The name of the queue of this version of moesim with these plugins. Workers of another version, or with other plugins, would
 * compute other bytes: they wait at another queue and never see the cells.
 */
export function queueName(): string {
  const plugins = pluginRecords().map(({ sha256 }) => sha256);
  const suffix = plugins.length === 0 ? "" : `-${digestOf(plugins.sort().join()).slice(0, 16)}`;
  return `cells-${version}${suffix}`;
}

export function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

const sha256 = z.string().regex(/^[\da-f]{64}$/);
const text = z.string().max(1 << 16);

/** A file as the other side lists it before its bytes. */
const sentFile = z.strictObject({ name: text.min(1), bytes: z.int().min(0), sha256 });
export type SentFile = z.infer<typeof sentFile>;

/** The data of a job. */
export const jobSchema = z.strictObject({
  version: z.literal(version),
  /** Of a collector. */
  sweep: text,
  /** The cell's scenario, as `toScenarioFile` writes it. */
  scenario: z.record(z.string(), z.unknown()),
  scenarioFile: text,
  rerun: z.array(text).optional(),
  backend: z.enum(kernelBackends as [string, ...string[]]).transform((name) => name as (typeof kernelBackends)[number]),
  /** The files that each path in the scenario names, in order; their own names are absolute paths where the sweep is. */
  inputs: z.array(z.strictObject({ path: text, files: z.array(sentFile).min(1).max(4096) })),
});
export type CellJob = z.infer<typeof jobSchema>;
export type JobInput = CellJob["inputs"][number];

/** The return value of a job: the files of the cell, whose bytes are chunks of one gzip stream under the key `result`. */
export const resultSchema = z.strictObject({
  worker: text,
  result: text,
  chunks: z.int().min(1),
  files: z.array(sentFile).min(1).max(16),
});
export type CellResult = z.infer<typeof resultSchema>;

/** The progress of a job: the fraction of its work that is done. */
export const progressSchema = z.number().min(0).max(1);

/** What a worker says of itself. */
export const workerSchema = z.object({ version: text, queue: text, concurrency: z.int().min(1) });
export type WorkerRecord = z.infer<typeof workerSchema>;

/** What a collector says of itself: enough for a program on the same machine to see whether it still runs. */
export const collectorSchema = z.object({ host: text, process: z.int().min(1) });

/** Parses what came from the server. Throws `InputError` that names `what` if it is not as moesim sends it. */
export function parseMessage<Message>(schema: z.ZodType<Message>, value: unknown, what: string): Message {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [{ path, message }] = parsed.error.issues;
  throw new InputError(`${what}: is not as moesim sends it: ${path.join(".")}: ${message}`);
}

/** Parses JSON of that schema; null if it is anything else. */
export function parseOrNull<Message>(schema: z.ZodType<Message>, json: string | null): Message | null {
  try {
    return schema.parse(JSON.parse(json ?? "null"));
  } catch {
    return null;
  }
}

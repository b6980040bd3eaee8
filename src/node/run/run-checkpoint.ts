import { mkdirSync } from "node:fs";
import path from "node:path";
import { InputError } from "../../core/input-error.ts";
import type { KernelBackend } from "../../core/kernels/index.ts";
import { type Scenario, toScenarioFile } from "../../core/scenario/scenario.ts";
import { type SimulationPart, shareParts } from "../../core/simulation/sharing.ts";
import { version } from "../../core/version.ts";
import { holdsWork, type Staging } from "../files/output-folder.ts";
import { readSealed, writeSealed } from "../files/sealed-file.ts";
import { openInput } from "./run-record.ts";

/** How a run keeps what it has done, for a later program to resume. Plain data. */
export interface RunCheckpoint {
  /** Holds the checkpoint of an earlier run, which goes away once there is one of this; may not exist. */
  readonly earlier: string;
  /** Where its parts keep their state. */
  readonly folder: string;
  /** Steps of a part from one state to the next. */
  readonly every: number;
  /** The parts of the run, whichever program does them. */
  readonly parts: readonly SimulationPart[];
  /** When the first program began. */
  readonly start: Date;
}

/** What must be the same for a run to go on to the same bytes. */
interface RunIdentity {
  readonly scenario: { readonly [field: string]: unknown };
  /** What else there is, by the words for it. */
  readonly others: { readonly [name: string]: unknown };
}

/** The file that says what is kept. */
interface RunRecord extends Pick<RunCheckpoint, "every" | "parts"> {
  readonly of: RunIdentity;
  readonly start: string;
}

/**
 * The staged checkpoint of an interrupted run of `scenario`; a new one if there is none and `every` says how often to write
 * it. Null if neither. Throws `InputError` if it is damaged or belongs to another run.
 *
 * @param every steps; null for as often as before
 * @param workers threads that share the parts of a new one
 */
export async function openRunCheckpoint(
  { folder: output, checkpoint: folder, earlier }: Pick<Staging, "folder" | "checkpoint" | "earlier">,
  scenario: Scenario,
  backend: KernelBackend,
  every: number | null,
  workers: number,
): Promise<RunCheckpoint | null> {
  const file = path.join(folder, "run");
  const of = await identityOf(scenario, backend);
  const bytes = readSealed(file);
  if (bytes !== null) {
    const record: RunRecord = JSON.parse(Buffer.from(bytes).toString());
    checkIdentity(output, record.of, of);
    if (every !== null && every !== record.every) writeRecord(file, { ...record, every });
    return { earlier, folder, every: every ?? record.every, parts: record.parts, start: new Date(record.start) };
  }
  if (holdsWork(path.dirname(folder), "run"))
    throw new InputError(`${file}: is missing; run without --resume to start anew`);
  if (every === null) return null;
  const checkpoint = { earlier, folder, every, parts: shareParts(scenario, workers), start: new Date() };
  mkdirSync(folder, { recursive: true });
  writeRecord(file, { of, every, parts: checkpoint.parts, start: checkpoint.start.toISOString() });
  return checkpoint;
}

function writeRecord(file: string, record: RunRecord): void {
  writeSealed(file, Buffer.from(JSON.stringify(record)));
}

/** As it comes back from JSON. */
async function identityOf(scenario: Scenario, backend: KernelBackend): Promise<RunIdentity> {
  const identity = {
    scenario: toScenarioFile(scenario),
    others: {
      "the file that the stream reads": (await openInput(scenario))?.record ?? null,
      "the backend": backend,
      "moesim's version": version,
      "Node's version": process.version,
    },
  };
  return JSON.parse(JSON.stringify(identity));
}

function checkIdentity(folder: string, kept: RunIdentity, wanted: RunIdentity): void {
  const names = [...differences(kept.scenario, wanted.scenario), ...differences(kept.others, wanted.others)];
  if (names.length === 0) return;
  throw new InputError(
    `${folder}: the checkpoint there is of another run; what differs: ${names.join(", ")}. ` +
      "Resume that run as it was, or run without --resume to start anew.",
  );
}

/** The fields whose values differ, those that are numbers or short texts with both. */
function differences(kept: object, wanted: object): string[] {
  const [before, now] = [new Map(Object.entries(kept)), new Map(Object.entries(wanted))];
  return Array.from(new Set([...before.keys(), ...now.keys()])).flatMap((name) => {
    const [there, here] = [before.get(name), now.get(name)].map((value) => JSON.stringify(value));
    if (there === here) return [];
    const isShort = typeof before.get(name) !== "object" && typeof now.get(name) !== "object";
    return [isShort ? `${name} (${there} there, ${here} here)` : name];
  });
}

import type { ScoreKind } from "../assignment.ts";
import { InputError } from "../input-error.ts";
import { createKernels } from "../kernels/index.ts";
import type { CapacityPolicy, DropRanking } from "../metrics/drops.ts";
import { defaultDeadWindow } from "../metrics/idle.ts";
import { createFeasibleScore, createRegretMeter } from "../metrics/regret.ts";
import { createRunSummary, type RunSummary, summarizeRegret } from "../metrics/run-summary.ts";
import { createBatchFacts, createStepMeter } from "../metrics/step-metrics.ts";
import type { StepRecord } from "../metrics/step-record.ts";
import { createAssignmentBuffers } from "../routers/parts/assignment-buffers.ts";
import { resolveScenario } from "../scenario/load.ts";
import { createOptima, measuredSteps } from "../simulation/optima.ts";
import { withMemoryFor } from "../simulation/simulation.ts";
import { copyFinite, copyLogits, rowsOf } from "./checked.ts";
import { type StepResult, stepResultOf } from "./step-result.ts";

/** Settings of a meter; the fields are those of a scenario. */
export interface MeterSizes {
  /** Maximum tokens in a batch. */
  readonly tokens: number;
  readonly experts: number;
  /** Experts per token; default 2. */
  readonly topK?: number | undefined;
  /** Maximum slots of a choice; default: topK. */
  readonly slots?: number | undefined;
  /** Affinities that score and regret use; default `softmax`. */
  readonly scores?: ScoreKind | undefined;
  /** > 0, default 1. */
  readonly capacityFactor?: number | undefined;
  /** What happens to pairs over capacity; default `none`. */
  readonly capacity?: CapacityPolicy | undefined;
  /** What `capacity: "drop"` ranks pairs by; default `gates`, which the choices must then have. */
  readonly dropBy?: DropRanking | undefined;
  /** Maximum number of further experts that `capacity: "reroute"` tries for a pair; default: all. */
  readonly rerouteDepth?: number | undefined;
  /** At most `experts`; default 1. */
  readonly ranks?: number | undefined;
  /** Maximum number of batches; if absent, regret's last stratum of steps may end before its drawn step comes. */
  readonly steps?: number | undefined;
  /** Draws the steps on which regret is measured, as in a scenario; default 0. */
  readonly seed?: number | undefined;
  /** How often and how exactly regret is measured, as in a scenario. */
  readonly regret?: { readonly every?: number | undefined; readonly gap?: number | undefined } | undefined;
}

/** What any router chose for a batch; a `RoutedBatch` is one. */
export interface Choice {
  /** `[tokens × slots]`, −1 = none; a token's experts are distinct. */
  readonly expert: ArrayLike<number>;
  /** Slots per token; default topK. */
  readonly slots?: number | undefined;
  /** `[tokens × slots]`, weight of each slot's expert; needed only to drop by gates. */
  readonly gate?: ArrayLike<number> | undefined;
}

/** Measures any one router, step by step. */
export interface Meter {
  /**
   * Returns the metrics of a choice for `logits` `[tokens × experts]`, flat and row-major, rounded to float32. Throws
   * `InputError`, naming token and slot, if the choice is not valid or the logits are NaN or +∞.
   */
  measure(logits: ArrayLike<number>, choice: Choice): StepResult;
  /** Summary of everything measured so far. Throws `InputError` before the first step. */
  summary(): RunSummary;
}

/**
 * Creates a meter for a router of your own: its metrics are those of {@link simulate}, including regret against the
 * exact optimum. Throws `InputError` if the sizes are inconsistent or need too much memory.
 */
export async function createMeter({ slots: mostSlots, ...sizes }: MeterSizes): Promise<Meter> {
  const where = "metrics.createMeter";
  const routers = [{ kind: "topk" }];
  const scenario = await resolveScenario({ ...sizes, name: where, stream: { kind: "gaussian" }, routers }, where);
  const { tokens: mostTokens, experts, topK, ranks, capacity, dropBy } = scenario;
  const maxSlots = mostSlots ?? topK;
  if (!(Number.isInteger(maxSlots) && maxSlots > 0 && maxSlots <= experts)) {
    throw new InputError(`${where}: slots: ${maxSlots} is not allowed. Allowed: 1 to ${experts}.`);
  }
  const steps = sizes.steps ?? Number.POSITIVE_INFINITY;
  const sample = measuredSteps(scenario, steps);
  const kernels = createKernels();
  const { logits, facts, optima, meter, buffers } = await withMemoryFor(scenario, async () => ({
    logits: kernels.allocateFloat32(mostTokens * experts),
    facts: createBatchFacts(kernels, scenario),
    optima: createOptima(kernels, scenario, sample, sample.strata === 0 ? [] : [{ first: 0, end: sample.strata }]),
    meter: createStepMeter(kernels, scenario, maxSlots),
    buffers: createAssignmentBuffers(kernels, { ...scenario, topK: maxSlots }),
  }));
  const feasibleScore = createFeasibleScore(scenario, maxSlots);
  const regret = createRegretMeter(topK);
  const records: StepRecord[] = [];

  return {
    measure(given, choice) {
      const tokens = rowsOf("logits", given, experts);
      const slots = choice.slots ?? topK;
      if (tokens > mostTokens) {
        throw new InputError(`logits: ${tokens} tokens; the meter was created for at most ${mostTokens}`);
      }
      if (records.length >= steps) {
        throw new InputError(`measure: this is more than the ${steps} batches that the meter was created for`);
      }
      if (!(Number.isInteger(slots) && slots > 0 && slots <= maxSlots)) {
        throw new InputError(`slots: ${slots} is not allowed; the meter was created for 1 to ${maxSlots}`);
      }
      const hasDisabled = copyLogits("logits", given, experts, logits);
      readChoice(choice.expert, tokens, slots, buffers.expert, buffers.load);
      if (capacity === "drop" && dropBy === "gates") readGates(choice.gate, tokens, slots, buffers.gate);
      const batch = { step: records.length, tokens, experts, logits, hasDisabled };
      const assignment = { ...buffers, slots };
      facts.observe(batch);
      optima.find(batch);
      const optimum = optima.optimum();
      const affinities = optima.scores();
      const record: StepRecord = {
        step: batch.step,
        tokens,
        load: buffers.load.slice(),
        ...(facts.assignable !== null && { enabled: facts.assignable.enabled }),
        metrics: meter.measure(batch, facts, assignment),
        rankLoad: meter.rankLoad.slice(),
        regret:
          optimum === null || affinities === null || facts.assignable?.pairs === 0
            ? null
            : regret.measure(optimum, feasibleScore(affinities, assignment, tokens, facts.capacity), tokens),
      };
      records.push(record);
      return stepResultOf(record);
    },
    summary() {
      if (records.length === 0) throw new InputError("summary: nothing has been measured yet");
      // The number of steps, on which the window depends, is known only now.
      const summary = createRunSummary({
        experts,
        ranks,
        deadWindow: Math.min(defaultDeadWindow, records.length),
      });
      for (const record of records) summary.observe(record);
      const measured = records.flatMap((record) => record.regret ?? []);
      const series = {
        regret: measured.map((step) => step.regret),
        regretCumulative: measured.map((step) => step.regretCumulative),
        optimumGap: measured.map((step) => step.optimumGap),
      };
      const maxVioBatches = records.map(({ metrics }) => metrics.maxVio);
      return summary.summary(maxVioBatches, summarizeRegret(series, records.length, scenario.regret.every));
    },
  };
}

/** Copies the gates of a choice into `gate`. Throws `InputError` if they are missing or not finite. */
function readGates(given: ArrayLike<number> | undefined, tokens: number, slots: number, gate: Float32Array): void {
  if (given === undefined) {
    throw new InputError('gate: missing; `capacity: "drop"` needs the gates, or `dropBy: "scores"`');
  }
  if (given.length !== tokens * slots) {
    throw new InputError(`gate: ${given.length} entries; expected ${tokens} tokens × ${slots} slots`);
  }
  copyFinite("gate", given, slots, gate, "slot");
}

/** Copies a choice into `expert` and counts `load` `[experts]`. Throws `InputError` if the choice is not valid. */
function readChoice(
  chosen: ArrayLike<number>,
  tokens: number,
  slots: number,
  expert: Int32Array,
  load: Int32Array,
): void {
  if (chosen.length !== tokens * slots) {
    throw new InputError(`expert: ${chosen.length} entries; expected ${tokens} tokens × ${slots} slots`);
  }
  const experts = load.length;
  const lastToken = new Int32Array(experts).fill(-1);
  load.fill(0);
  for (let pair = 0; pair < chosen.length; pair++) {
    const e = chosen[pair];
    expert[pair] = e;
    if (e === -1) continue;
    const token = Math.floor(pair / slots);
    const place = `token ${token}, slot ${pair % slots}`;
    if (!(Number.isInteger(e) && e >= 0 && e < experts)) {
      throw new InputError(`${place}: ${e} is not an expert; expected 0 to ${experts - 1}, or −1 for none`);
    }
    if (lastToken[e] === token) throw new InputError(`${place}: expert ${e} appears twice; experts must be distinct`);
    lastToken[e] = token;
    load[e] += 1;
  }
}

import { camelCase, type StepValues, stepColumns } from "../metrics/catalogue.ts";
import type { StepRecord } from "../metrics/step-record.ts";
import { derivedFrom } from "../registry.ts";

/**
 * What one router did on one step, as plain data: the columns of steps.csv and diagnostics.csv in camel case, and the
 * load. A column that does not apply is null. `dualRegretCumulative` is null until the run ends.
 */
export interface StepResult extends StepValues {
  /** Step number, counted from 0. */
  readonly step: number;
  /** Id of the layer; absent if the scenario has only one. */
  readonly layer?: number;
  /** Tokens of the batch; null for recorded load counts, which do not say. */
  readonly tokens: number | null;
  /** `[experts]`, (token, expert) pairs on each expert, before any drop. */
  readonly load: readonly number[];
}

const columns = derivedFrom([stepColumns], () =>
  stepColumns.map(({ name, value }) => ({ key: camelCase(name), value })),
);

/** Returns a copy of `record` that the next step does not change. */
export function stepResultOf(record: StepRecord, layer?: number): StepResult {
  const { step, tokens, load } = record;
  const result: Record<string, unknown> = {
    step,
    ...(layer !== undefined && { layer }),
    tokens,
    load: Array.from(load),
  };
  for (const { key, value } of columns()) result[key] = value(record);
  return result as unknown as StepResult;
}

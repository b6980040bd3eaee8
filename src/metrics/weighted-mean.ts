/** A mean of values that count by their weights. */
export interface WeightedMean {
  add(value: number, weight: number): void;
  /** Null where nothing with a weight was added. */
  value(): number | null;
}

export function createWeightedMean(): WeightedMean {
  let total = 0;
  let weights = 0;
  return {
    add(value, weight) {
      total += value * weight;
      weights += weight;
    },
    value: () => (weights === 0 ? null : total / weights),
  };
}

/** A mean of values that count by their weights. Plain data. */
export interface WeightedMean {
  total: number;
  weights: number;
}

export function emptyMean(): WeightedMean {
  return { total: 0, weights: 0 };
}

export function addTo(mean: WeightedMean, value: number, weight: number): void {
  mean.total += value * weight;
  mean.weights += weight;
}

/** Null where nothing with a weight was added. */
export function meanOf({ total, weights }: WeightedMean): number | null {
  return weights === 0 ? null : total / weights;
}

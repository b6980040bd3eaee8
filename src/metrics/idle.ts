/** The last steps in which an expert without a token is dead, where nobody says how many. */
export function defaultDeadWindow(steps: number): number {
  return Math.min(100, steps);
}

/** Follows over the steps how long experts stay without a token. */
export interface IdleTracker {
  /** Takes the load `[experts]` of the next step. */
  observe(load: ArrayLike<number>): void;
  /** The longest run of steps with zero load of any expert. */
  longestStreak(): number;
  /** Experts with no token in the last `window` steps, `window` at most the steps observed. */
  deadExperts(window: number): number;
}

export function createIdleTracker(experts: number): IdleTracker {
  const streak = new Int32Array(experts);
  let longest = 0;
  return {
    observe(load) {
      for (let expert = 0; expert < experts; expert++) {
        streak[expert] = load[expert] === 0 ? streak[expert] + 1 : 0;
        if (streak[expert] > longest) longest = streak[expert];
      }
    },
    longestStreak: () => longest,
    deadExperts: (window) => streak.filter((steps) => steps >= window).length,
  };
}

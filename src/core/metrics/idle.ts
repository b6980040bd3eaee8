/** The last steps in which an expert without a token is dead, where nobody says how many. */
export function defaultDeadWindow(steps: number): number {
  return Math.min(100, steps);
}

/** All that an {@link IdleTracker} remembers. Plain data. */
export interface IdleState {
  /** `[experts]`, steps without a token up to the last one. */
  readonly streak: Int32Array;
  longest: number;
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

/** That of a tracker before its first step. */
export function emptyIdleState(experts: number): IdleState {
  return { streak: new Int32Array(experts), longest: 0 };
}

/** @param state of another of as many experts, to go on from; changes with every step */
export function createIdleTracker(experts: number, state: IdleState = emptyIdleState(experts)): IdleTracker {
  const { streak } = state;
  return {
    observe(load) {
      for (let expert = 0; expert < experts; expert++) {
        streak[expert] = load[expert] === 0 ? streak[expert] + 1 : 0;
        if (streak[expert] > state.longest) state.longest = streak[expert];
      }
    },
    longestStreak: () => state.longest,
    deadExperts: (window) => streak.filter((steps) => steps >= window).length,
  };
}

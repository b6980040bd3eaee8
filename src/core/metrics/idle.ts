/** Default number of last steps without a token after which an expert is dead; of a shorter run, all steps. */
export const defaultDeadWindow = 100;

/** State of an {@link IdleTracker}. Plain data. */
export interface IdleState {
  /** `[experts]`, steps without a token up to the last step. */
  readonly streak: Int32Array;
  longest: number;
}

/** Tracks how long experts stay without a token. */
export interface IdleTracker {
  /**
   * Takes the load `[experts]` of the next step with tokens. The step does not count for experts with a 0 in `enabled`
   * `[experts]`, which no token could have.
   */
  observe(load: ArrayLike<number>, enabled?: Uint8Array): void;
  /** Returns the longest run of steps with zero load of any expert. */
  longestStreak(): number;
  /** Returns the number of experts with no token in the last `window` steps; at most as many as were observed. */
  deadExperts(window: number): number;
}

/** Returns the state of a tracker before its first step. */
export function emptyIdleState(experts: number): IdleState {
  return { streak: new Int32Array(experts), longest: 0 };
}

/** @param state of another tracker with as many experts, to resume from; changes with every step */
export function createIdleTracker(experts: number, state: IdleState = emptyIdleState(experts)): IdleTracker {
  const { streak } = state;
  return {
    observe(load, enabled) {
      for (let expert = 0; expert < experts; expert++) {
        if (enabled !== undefined && enabled[expert] === 0) continue;
        streak[expert] = load[expert] === 0 ? streak[expert] + 1 : 0;
        if (streak[expert] > state.longest) state.longest = streak[expert];
      }
    },
    longestStreak: () => state.longest,
    deadExperts: (window) => streak.filter((steps) => steps >= window).length,
  };
}

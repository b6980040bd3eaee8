import type { Assignment } from "../../core/assignment.ts";
import { createCsvFile } from "./csv-file.ts";

/** Writes `assignments.csv`, one row per slot. */
export interface AssignmentFile {
  /** `keepEmpty`: whether slots without an expert are written (with expert −1 and gate 0) or left out. */
  write(step: number, tokens: number, assignment: Assignment, keepEmpty: boolean): void;
  close(): void;
}

export function createAssignmentFile(path: string): AssignmentFile {
  const file = createCsvFile(path, ["step", "token", "slot", "expert", "gate"]);
  return {
    write(step, tokens, { slots, expert, gate }, keepEmpty) {
      for (let pair = 0; pair < tokens * slots; pair++) {
        if (expert[pair] < 0 && !keepEmpty) continue;
        file.write([step, Math.floor(pair / slots), pair % slots, expert[pair], gate[pair]]);
      }
    },
    close: file.close,
  };
}

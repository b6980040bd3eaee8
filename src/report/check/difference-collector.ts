import { sum } from "d3-array";
import { byWeight, columnOf, type Difference, mostKept, type ResultCheck, type RouterCheck } from "./check-result.ts";

/** Gathers what a check finds; memory grows with the routers and files, not with what differs. */
export interface DifferenceCollector {
  /** Counts compared cells of a router in a file. */
  count(file: string, router: string, cells: number): void;
  add(difference: Difference): void;
  note(text: string): void;
  result(): ResultCheck;
}

interface Part extends RouterCheck {
  cells: number;
  readonly differing: Map<string, number>;
  readonly worst: Difference[];
}

export function createDifferenceCollector(): DifferenceCollector {
  const parts = new Map<string, Map<string | null, Part>>();
  const byKind = new Map<Difference["kind"], number>();
  const notes: string[] = [];

  function partOf(file: string, router: string | null): Part {
    const routers = parts.get(file) ?? new Map<string | null, Part>();
    parts.set(file, routers);
    const part = routers.get(router) ?? { file, router, cells: 0, differing: new Map(), worst: [] };
    routers.set(router, part);
    return part;
  }

  return {
    count(file, router, cells) {
      partOf(file, router).cells += cells;
    },
    add(difference) {
      const { differing, worst } = partOf(difference.file, difference.router);
      addOne(differing, columnOf(difference));
      addOne(byKind, difference.kind);
      insert(worst, difference);
    },
    note(text) {
      notes.push(text);
    },
    result() {
      const all = Array.from(parts.values()).flatMap((routers) => Array.from(routers.values()));
      const differing = sum(byKind.values());
      return { equal: differing === 0, cells: sum(all, ({ cells }) => cells), differing, byKind, parts: all, notes };
    },
  };
}

function addOne<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Puts `difference` in its place among the worst, behind its equals, and lets go of what is too much. */
function insert(worst: Difference[], difference: Difference): void {
  if (worst.length === mostKept && byWeight(difference, worst[mostKept - 1]) >= 0) return;
  const place = worst.findIndex((other) => byWeight(difference, other) < 0);
  worst.splice(place < 0 ? worst.length : place, 0, difference);
  if (worst.length > mostKept) worst.pop();
}

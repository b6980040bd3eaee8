/** A whole number with its noun, in the singular for 1 alone: `1 row`, `2 rows`, `0 rows`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

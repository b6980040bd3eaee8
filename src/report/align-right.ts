/** `cells`, each with spaces in front so that all are as long as the longest. */
export function alignRight(cells: readonly string[]): string[] {
  const width = Math.max(...cells.map((cell) => cell.length));
  return cells.map((cell) => cell.padStart(width));
}

import path from "node:path";

/**
 * Short names for folders: the last part of each path, with as many of those before it as tell them all apart. A folder that
 * is named twice gets a number.
 */
export function folderNames(folders: readonly string[]): string[] {
  const parts = folders.map((folder) => path.resolve(folder).split(path.sep).filter(Boolean));
  const distinct = new Set(parts.map((all) => all.join(path.sep))).size;
  const deepest = Math.max(...parts.map((all) => all.length));
  const namesOf = (count: number) => parts.map((all) => all.slice(-count).join(path.sep) || path.sep);
  let count = 1;
  while (count < deepest && new Set(namesOf(count)).size < distinct) count++;
  const names = namesOf(count);
  return names.map((name, position) => {
    const before = names.slice(0, position).filter((other) => other === name).length;
    return before === 0 ? name : `${name} (${before + 1})`;
  });
}

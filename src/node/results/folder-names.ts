import path from "node:path";

/**
 * Short names for folders: the last part of each path, with as many of those before it as tell it from all others. A folder
 * that is named twice gets a number.
 */
export function folderNames(folders: readonly string[]): string[] {
  const resolved = folders.map((folder) => path.resolve(folder));
  const names = resolved.map((folder) =>
    shortestTail(
      folder,
      resolved.filter((other) => other !== folder),
    ),
  );
  return names.map((name, position) => {
    const before = names.slice(0, position).filter((other) => other === name).length;
    return before === 0 ? name : `${name} (${before + 1})`;
  });
}

function shortestTail(folder: string, others: readonly string[]): string {
  const tailOf = (all: string, count: number) => all.split(path.sep).slice(-count).join(path.sep);
  const most = folder.split(path.sep).length;
  for (let count = 1; count < most; count++) {
    const tail = tailOf(folder, count);
    if (tail !== "" && others.every((other) => tailOf(other, count) !== tail)) return tail;
  }
  return folder;
}

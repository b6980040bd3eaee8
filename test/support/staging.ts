import { mkdirSync } from "node:fs";
import path from "node:path";
import type { Staging } from "../../src/node/files/results-folder.ts";

/** Places to stage files in, inside `folder`, of an output folder that does not exist. */
export function stagingIn(folder: string): Staging {
  const [files, work] = ["files", "work"].map((name) => path.join(folder, name));
  for (const each of [files, work]) mkdirSync(each);
  return {
    folder: path.join(folder, "out"),
    root: folder,
    files,
    work,
    checkpoint: path.join(folder, "checkpoint"),
    earlier: path.join(folder, "earlier"),
  };
}

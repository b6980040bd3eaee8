import { readdirSync } from "node:fs";
import { removeCells } from "../engine/cell-folder.ts";
import { ownResultFiles } from "../report/own-files.ts";
import { removeCheckpoints } from "../report/partial-folder.ts";
import { type OutputFolderOptions, withOutputFolder } from "./with-output-folder.ts";

export interface ResultsFolderOptions extends OutputFolderOptions {
  /** Whether `work` puts cells of a sweep into `folder`. */
  readonly hasCells?: boolean | undefined;
}

/**
 * As {@link withOutputFolder}, for results: what moesim wrote into `folder` before and `work` does not replace goes away,
 * since it describes other results, and so do checkpoints. The cells of a sweep go too, unless `hasCells`: `work` has put
 * its own there.
 */
export async function withResultsFolder<Result>(
  folder: string,
  work: (partial: string) => Promise<Result>,
  { hasCells = false, resume = false, lost }: ResultsFolderOptions = {},
): Promise<Result> {
  const obsolete = (partial: string) => {
    const replaced = readdirSync(partial);
    return ownResultFiles(folder).filter((name) => !replaced.includes(name));
  };
  const result = await withOutputFolder(folder, work, obsolete, { resume, lost });
  removeCheckpoints(folder);
  if (!hasCells) removeCells(folder);
  return result;
}

import { readdirSync } from "node:fs";
import { removeCells } from "../engine/cell-folder.ts";
import { ownResultFiles } from "../report/own-files.ts";
import { removeCheckpoints } from "../report/partial-folder.ts";
import { withOutputFolder } from "./with-output-folder.ts";

/**
 * As {@link withOutputFolder}, for results: what moesim wrote into `folder` before and `work` does not replace goes away,
 * since it describes other results, and so do checkpoints. The cells of a sweep go too, unless `hasCells`: `work` has put
 * its own there.
 */
export async function withResultsFolder<Result>(
  folder: string,
  hasCells: boolean,
  work: (partial: string) => Promise<Result>,
  resume = false,
): Promise<Result> {
  const obsolete = (partial: string) => {
    const replaced = readdirSync(partial);
    return ownResultFiles(folder).filter((name) => !replaced.includes(name));
  };
  const result = await withOutputFolder(folder, work, obsolete, resume);
  removeCheckpoints(folder);
  if (!hasCells) removeCells(folder);
  return result;
}

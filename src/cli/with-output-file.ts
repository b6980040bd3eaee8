import { existsSync, realpathSync } from "node:fs";
import path from "node:path";
import { withOutputFolder } from "./with-output-folder.ts";

/** Lets `work` write a file that appears at `file`, or where a link of that name leads, whole or not at all. */
export function withOutputFile<Result>(file: string, work: (partial: string) => Promise<Result>): Promise<Result> {
  const target = realPath(file);
  return withOutputFolder(path.dirname(target), (folder) => work(path.join(folder, path.basename(target))));
}

/** The path without links; the absolute path where there is nothing yet. */
export function realPath(file: string): string {
  return existsSync(file) ? realpathSync(file) : path.resolve(file);
}

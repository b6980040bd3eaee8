import { lstatSync } from "node:fs";
import path from "node:path";
import { fileHead } from "./file-head.ts";
import { resultNames } from "./result-files.ts";
import { readRunRecord } from "./results/run-json.ts";

/** How every CSV file of results begins. */
const csvStart = "scenario,router,";

/** The names of the files of results in `folder` that moesim wrote, as what is in them tells; none where there is no folder. */
export function ownResultFiles(folder: string): string[] {
  return resultNames.filter((name) => isOwn(folder, name));
}

function isOwn(folder: string, name: string): boolean {
  const file = path.join(folder, name);
  if (lstatSync(file, { throwIfNoEntry: false })?.isFile() !== true) return false;
  if (name.endsWith(".csv")) return fileHead(file, csvStart.length) === csvStart;
  return readRunRecord(folder) !== undefined;
}

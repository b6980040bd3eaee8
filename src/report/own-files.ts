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
  if (name.endsWith(".csv")) return beginsAsResults(file);
  return readRunRecord(folder) !== undefined;
}

/** Whether the CSV file `file` has the header that moesim writes, and so is none of another program's. */
export function beginsAsResults(file: string): boolean {
  return fileHead(file, csvStart.length) === csvStart;
}

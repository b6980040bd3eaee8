import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { resultFiles } from "../report/result-files.ts";
import { openRegularFile } from "../streams/readers/input-file.ts";

/**
 * The SHA-256 of each file of the cell in `folder`, as hexadecimal digits; without run.json, which they stand in. They
 * tell whether a file has been cut off or changed since. Rejects where one is missing.
 */
export async function cellDigests(folder: string): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for (const name of resultFiles.filter((file) => file !== "run.json")) {
    const hash = createHash("sha256");
    await pipeline(createReadStream("", { fd: openRegularFile(path.join(folder, name)) }), hash);
    digests[name] = hash.digest("hex");
  }
  return digests;
}

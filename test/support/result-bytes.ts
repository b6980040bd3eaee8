import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { listFiles } from "./program.ts";

/**
 * The digest of every CSV file of the results in `folder`, and of what each run.json says besides times; of timing.csv the number
 * of lines.
 */
export function bytesOfResults(folder: string): Record<string, string> {
  const files = listFiles(folder).filter((file) => file.endsWith(".csv") || file.endsWith("run.json"));
  return Object.fromEntries(
    files.map((file) => {
      const text = readFileSync(path.join(folder, file), "utf8");
      if (path.basename(file) === "timing.csv") return [file, `${text.split("\n").length} lines`];
      if (!file.endsWith(".json")) return [file, digestOf(text)];
      const { start: _start, end: _end, sha256, ...record } = JSON.parse(text);
      return [file, digestOf(JSON.stringify({ ...record, sha256: { ...sha256, "timing.csv": "" } }))];
    }),
  );
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

import { closeSync, openSync, readSync } from "node:fs";

/** The text of the first bytes of `file`, at most `most`. */
export function fileHead(file: string, most: number): string {
  const descriptor = openSync(file, "r");
  try {
    const head = Buffer.alloc(most);
    return head.toString("utf8", 0, readSync(descriptor, head, 0, most, 0));
  } finally {
    closeSync(descriptor);
  }
}

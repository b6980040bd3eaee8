import { closeSync, readSync } from "node:fs";
import { openRegularFile } from "../streams/readers/input-file.ts";

/** The text of the first bytes of `file`, at most `most`. Throws `InputError` if it is no regular file. */
export function fileHead(file: string, most: number): string {
  const descriptor = openRegularFile(file);
  try {
    const head = Buffer.alloc(most);
    return head.toString("utf8", 0, readSync(descriptor, head, 0, most, 0));
  } finally {
    closeSync(descriptor);
  }
}

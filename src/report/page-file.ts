import { fileHead } from "./file-head.ts";

/** The name of the page that `report` writes into a folder of results when it is told no other. */
export const pageFile = "report.html";

const mark = '<meta name="generator" content="moesim ';
/** The mark stands in the first lines of a page, before its styles. */
const headBytes = 4096;

/** Whether the file `file` is a page that moesim made, and so can make again. */
export function isOwnPage(file: string): boolean {
  return fileHead(file, headBytes).includes(mark);
}

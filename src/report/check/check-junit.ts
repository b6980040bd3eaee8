import junit from "junit-report-builder";
import { counted } from "../../core/counted.ts";
import { printable } from "../printable.ts";
import { type ResultCheck, totalOf } from "./check-result.ts";
import { formatDifferences } from "./check-text.ts";

/**
 * The check as a JUnit XML report, which CI systems show: a test case for each router in each file, and one for a file that
 * is missing or lacks a column.
 */
export function checkAsJunit({ parts }: ResultCheck): string {
  // Its types promise a default export, and the package is the builder itself.
  const builder = (junit as unknown as typeof junit.default).newBuilder();
  const suite = builder.testSuite().name("moesim check");
  for (const part of parts) {
    const name = part.router === null ? "the file itself" : printable(part.router);
    const test = suite.testCase().className(part.file).name(name);
    const differing = totalOf(part);
    if (differing === 0) continue;
    // The builder guards only the first end of a CDATA section.
    const table = formatDifferences([part]).replaceAll("]]>", "]] >");
    test.failure(`${counted(differing, "difference")} from the baseline`, "difference").stacktrace(table);
  }
  return builder.build();
}

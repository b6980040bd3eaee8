import { expect, it } from "vitest";
import { formatAnnotation } from "../../../src/cli/text/check-output.ts";

it("escapes what would end a workflow command or one of its properties", () => {
  // https://docs.github.com/actions: the runner reads %25, %0D, %0A, and in properties %3A and %2C, back.
  const annotation = {
    level: "error",
    title: "a:b,c%\n",
    message: "50 %: x, y\r\n::error::forged",
    file: "base,line/summary.csv",
  } as const;
  expect(formatAnnotation(annotation)).toBe(
    "::error title=a%3Ab%2Cc%25%0A,file=base%2Cline/summary.csv::50 %25: x, y%0D%0A::error::forged\n",
  );
  expect(formatAnnotation({ ...annotation, level: "notice", file: "" })).toMatch(/^::notice title=a%3Ab%2Cc%25%0A::50/);
});

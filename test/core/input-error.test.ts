import { expect, it } from "vitest";
import { InputError } from "../../src/core/input-error.ts";

it("is an Error that is told from programming errors by its class and name", () => {
  const error = new InputError("trace.npy: promises more rows than it holds");
  expect(error).toBeInstanceOf(Error);
  expect(error).toBeInstanceOf(InputError);
  expect(error.name).toBe("InputError");
  expect(error.message).toBe("trace.npy: promises more rows than it holds");
  expect(new Error("other")).not.toBeInstanceOf(InputError);
});

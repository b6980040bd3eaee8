import { describe, expect, test } from "vitest";
import { bfloat16Table, float16Table } from "../../../src/core/formats/element-type.ts";

describe("the float16 table", () => {
  test("holds the closed form of IEEE binary16 for all 65,536 bit patterns", () => {
    const table = float16Table();
    expect(table).toHaveLength(65_536);
    for (let bits = 0; bits < 65_536; bits++) {
      const sign = bits & 0x8000 ? -1 : 1;
      const exponent = (bits >> 10) & 0x1f;
      const fraction = bits & 0x3ff;
      let expected = sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
      if (exponent === 0) expected = sign * 2 ** -14 * (fraction / 1024);
      if (exponent === 31) expected = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
      // Object.is tells −0 from 0; toBe on each would be slow.
      if (!Object.is(table[bits], expected)) expect.fail(`pattern ${bits}: ${table[bits]} instead of ${expected}`);
    }
  });

  test("holds the smallest subnormal, the largest number and one third as the standard gives them", () => {
    expect(float16Table()[0x0001]).toBe(2 ** -24);
    expect(float16Table()[0x7bff]).toBe(65_504);
    expect(float16Table()[0x3555]).toBe(0.333251953125);
  });
});

describe("the bfloat16 table", () => {
  test("holds the closed form of bfloat16 for all 65,536 bit patterns", () => {
    const table = bfloat16Table();
    expect(table).toHaveLength(65_536);
    for (let bits = 0; bits < 65_536; bits++) {
      const sign = bits & 0x8000 ? -1 : 1;
      const exponent = (bits >> 7) & 0xff;
      const fraction = bits & 0x7f;
      let expected = sign * 2 ** (exponent - 127) * (1 + fraction / 128);
      if (exponent === 0) expected = sign * 2 ** -126 * (fraction / 128);
      if (exponent === 255) expected = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
      if (!Object.is(table[bits], expected)) expect.fail(`pattern ${bits}: ${table[bits]} instead of ${expected}`);
    }
  });
});

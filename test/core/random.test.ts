import { describe, expect, it } from "vitest";
import { createRandom, type RandomSource } from "../../src/core/random.ts";

const draws = (source: RandomSource, count = 5) => Array.from({ length: count }, () => source.uniform());

describe("createRandom", () => {
  it("gives the same numbers for the same seed, whether number or string", () => {
    expect(draws(createRandom(7))).toEqual(draws(createRandom("7")));
  });

  it("gives other numbers for another seed", () => {
    expect(draws(createRandom(7))).not.toEqual(draws(createRandom(8)));
  });

  it("gives the numbers it always gave, so that recorded results stay valid", () => {
    const random = createRandom("recorded");
    expect(random.uniform()).toBe(0.6572553860228694);
    expect(random.uint32()).toBe(1238507355);
    // The logarithm and the cosine may differ in the last bits between engines.
    expect(random.normal()).toBeCloseTo(-2.1062923329443453, 12);
  });

  it("draws uniforms in [0, 1) with mean 1/2 and variance 1/12", () => {
    const sample = draws(createRandom("uniform"), 20_000);
    const mean = sample.reduce((sum, value) => sum + value, 0) / sample.length;
    const variance = sample.reduce((sum, value) => sum + (value - mean) ** 2, 0) / sample.length;
    expect(Math.min(...sample)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...sample)).toBeLessThan(1);
    // Five standard errors: √(1/12 / 20000) ≈ 0.002, and √(1/180 / 20000) ≈ 0.0005 for the variance.
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.0102);
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.0027);
  });

  it("draws 32-bit unsigned integers over the whole range", () => {
    const random = createRandom("words");
    const words = Array.from({ length: 1000 }, () => random.uint32());
    expect(words.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32)).toBe(true);
    expect(Math.max(...words)).toBeGreaterThan(2 ** 32 * 0.98);
    expect(Math.min(...words)).toBeLessThan(2 ** 32 * 0.02);
  });

  it("draws normals with mean 0, variance 1 and the tails of a normal", () => {
    const random = createRandom("normal");
    const sample = Array.from({ length: 20_000 }, () => random.normal());
    const mean = sample.reduce((sum, value) => sum + value, 0) / sample.length;
    const variance = sample.reduce((sum, value) => sum + value * value, 0) / sample.length;
    const beyondTwo = sample.filter((value) => Math.abs(value) > 2).length / sample.length;
    // Five standard errors: 1/√20000, √(2/20000) and √(0.0455 · 0.9545 / 20000).
    expect(Math.abs(mean)).toBeLessThan(0.036);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
    expect(Math.abs(beyondTwo - 0.0455)).toBeLessThan(0.0074);
  });

  it("derives a source that does not depend on what was drawn before", () => {
    const fresh = createRandom("scenario");
    const used = createRandom("scenario");
    draws(used, 100);
    expect(draws(used.derive("router"))).toEqual(draws(fresh.derive("router")));
  });

  it("derives different sources for different names and levels", () => {
    const root = createRandom("scenario");
    const all = [root, root.derive("a"), root.derive("b"), root.derive("a").derive("b")].map(
      (source) => draws(source)[0],
    );
    expect(new Set(all).size).toBe(all.length);
  });

  it("does not move when a source is derived from it", () => {
    const root = createRandom("scenario");
    root.derive("router").uniform();
    expect(draws(root)).toEqual(draws(createRandom("scenario")));
  });

  it("continues identically from a state that went through JSON", () => {
    const random = createRandom("first");
    draws(random, 10);
    const saved = JSON.parse(JSON.stringify(random.state()));
    const expected = [random.uniform(), random.uint32(), random.normal()];
    const other = createRandom("second");
    other.restore(saved);
    expect([other.uniform(), other.uint32(), other.normal()]).toEqual(expected);
  });

  it("leaves a saved state alone while it draws on", () => {
    const random = createRandom("kept");
    const saved = random.state();
    const copy = structuredClone(saved);
    draws(random, 10);
    random.restore(saved);
    draws(random, 10);
    expect(saved).toEqual(copy);
  });
});

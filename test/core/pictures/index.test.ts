import { PNG } from "pngjs";
import { describe, expect, it } from "vitest";
import { drawPictures } from "../../../src/core/pictures/index.ts";
import { withoutLegends } from "../../../src/core/pictures/parts/legend.ts";
import { readReportData } from "../../../src/core/pictures/parts/report-data.ts";
import { textWidth } from "../../../src/core/pictures/parts/text.ts";
import { chartOption, themes } from "../../../src/core/pictures/parts/theme.ts";
import { laidOut, type Picture, pictureWidth } from "../../../src/core/pictures/picture.ts";
import { openResults } from "../../../src/node/files/read-results.ts";
import { renderPng, renderSvg } from "../../../src/node/render/render.ts";
import { trainedRun, trainedSweep } from "../../support/trained-run.ts";
import { dataOfMeasure, dataOfRun, dataOfSweep, smallScenario } from "./parts/small-runs.ts";

const hostile = '<img src=x onerror="alert(1)"> {a|b} {b} & @variant3 ]]>\n\u0001';
const hostileDrawn = '<img src=x onerror="alert(1)"> {a|b} {b} & @variant3 ]]> ';

const { routers } = smallScenario;
const run = drawPictures(await dataOfRun(smallScenario));
const sweep = drawPictures(
  await dataOfSweep({
    ...smallScenario,
    routers: [routers[0], routers[1]],
    sweep: { "routers.alf-lb.updateRate": [0.001, 0.01, 0.1] },
    seeds: [1, 2],
  }),
);
const oneStep = drawPictures(await dataOfRun({ ...smallScenario, steps: 1, routers: [routers[0], routers[1]] }));
const measured = drawPictures(await dataOfMeasure());
const placed = drawPictures(
  await dataOfRun({ ...smallScenario, steps: 40, placement: { gpus: 2, slots: 10, interval: 10, window: 5 } }),
);
const named = drawPictures(
  await dataOfRun({ ...smallScenario, routers: [{ ...routers[0], label: hostile }, routers[1], routers[2]] }),
);
/** The pictures of training alone, whose figures are made up. */
async function picturesOfTraining(folder: Promise<string>): Promise<Picture[]> {
  const pictures = drawPictures(await readReportData(openResults(await folder)));
  return pictures.filter(({ id }) => id.startsWith("task-loss"));
}
const trained = await picturesOfTraining(trainedRun({ steps: 90 }));
const trainedOnce = await picturesOfTraining(trainedRun({ steps: 1 }));
const trainedCells = await picturesOfTraining(trainedSweep());
const results = { run, sweep, oneStep, measured, placed, named, trained, trainedOnce, trainedCells };
const everyPicture = Object.entries(results).flatMap(([name, pictures]) =>
  pictures.map((picture) => ({ name: `${name}: ${picture.id}`, picture })),
);

function pictureOf(pictures: readonly Picture[], id: string): Picture {
  return pictures.find((picture) => picture.id === id)!;
}

/** Every text of an SVG document, with its place. */
function textsOf(svg: string): { text: string; x: number; y: number; size: number }[] {
  const pattern = /<text ([^>]*)>([^<]*)<\/text>/g;
  return Array.from(svg.matchAll(pattern), ([, attributes, text]) => {
    const [, x, y] = /translate\(([-\d.]+) ([-\d.]+)\)/.exec(attributes) ?? [null, "0", "0"];
    const plainX = /\bx="([-\d.]+)"/.exec(attributes)?.[1] ?? "0";
    const plainY = /\by="([-\d.]+)"/.exec(attributes)?.[1] ?? "0";
    const size = Number(/font-size:([\d.]+)px/.exec(attributes)![1]);
    return { text: unescaped(text), x: Number(x) + Number(plainX), y: Number(y) + Number(plainY), size };
  });
}

/** The colours of a picture's series, in the light theme, whose marks are not faint. */
function colorsOfSeries(picture: Picture): string[] {
  const { series } = chartOption(picture, themes.light).option as { series: { color?: string; data: unknown[] }[] };
  return series.flatMap(({ color, data }) => (color === undefined || data.length < 2 ? [] : [color]));
}

function unescaped(text: string): string {
  const characters: Record<string, string> = { lt: "<", gt: ">", quot: '"', "#39": "'", amp: "&" };
  return text.replace(/&([^;]+);/g, (_, name) => characters[name]);
}

describe("the pictures of a report", () => {
  it("are all there for a run, in the order of the report", () => {
    expect(run.map(({ id }) => id)).toEqual([
      "pareto",
      "max-vio",
      "loads",
      "load-curves",
      "idle",
      "regret",
      "dual-regret",
      "rank-slowdown",
      "solver",
    ]);
  });

  it("have one for the parameters of a sweep", () => {
    expect(sweep.map(({ id }) => id).slice(0, 3)).toEqual(["pareto", "sweep", "max-vio"]);
  });

  it("have the two of training where the stream trains", () => {
    for (const pictures of [trained, trainedOnce, trainedCells]) {
      expect(pictures.map(({ id }) => id)).toEqual(["task-loss-balance", "task-loss"]);
    }
  });

  it("are those that loads alone allow where nothing else was recorded", () => {
    expect(measured.map(({ id }) => id)).toEqual(["max-vio", "loads", "load-curves", "idle"]);
  });

  it("leave out the slowdown of ranks where there is one rank", async () => {
    const alone = drawPictures(await dataOfRun({ ...smallScenario, ranks: 1, routers: [routers[0]] }));
    expect(alone.map(({ id }) => id)).not.toContain("rank-slowdown");
  });

  it("have idle experts in percent on the axis, as in the words", async () => {
    // Fewer pairs than experts.
    const data = await dataOfRun({ ...smallScenario, tokens: 3 });
    const idle = pictureOf(drawPictures(data), "idle");
    const [axis] = [idle.option.yAxis].flat() as { name: string }[];
    expect(axis.name).toBe("idle experts, %");
    const written = new Set(
      data.variants.flatMap(({ series: [{ columns }] }) => columns.idle_fraction.map((fraction) => 100 * fraction)),
    );
    const drawn = (idle.option.series as { data: [number, number][] }[]).flatMap((series) =>
      series.data.map(([, value]) => value),
    );
    expect(Math.max(...drawn)).toBeCloseTo(Math.max(...written), 3);
    expect(Math.max(...drawn)).toBeGreaterThanOrEqual(25);
  });

  it("say what expert-choice reaches by construction", () => {
    expect(pictureOf(run, "max-vio").finding).toContain("lowest for scot and expert-choice (0)");
  });
});

describe("every picture", () => {
  it.each(everyPicture)("$name is plain data", ({ picture }) => {
    expect(JSON.parse(JSON.stringify(picture.option))).toEqual(picture.option);
  });

  it.each(everyPicture)("$name says how to read it and what it shows", ({ picture }) => {
    expect(picture.title).toMatch(/^[A-Z]/);
    expect(picture.reading).toMatch(/\.$/);
    expect(picture.finding).toMatch(/\.$/);
    expect(`${picture.reading} ${picture.finding}`).not.toMatch(/NaN|undefined|null|Infinity/);
  });

  it.each(everyPicture)("$name knows its colours in both themes", ({ picture }) => {
    for (const theme of Object.values(themes)) {
      const text = JSON.stringify(chartOption(picture, theme).option);
      expect(text).not.toMatch(/"[^"]*color[^"]*":"@/i);
      expect(text).not.toContain('"@scale');
    }
  });

  it.each(everyPicture)("$name is drawn: neither blank nor malformed nor cut at an edge", ({ picture }) => {
    const svg = renderSvg(picture, themes.light);
    // The renderer refuses what is not well-formed XML.
    const { width, height, data } = PNG.sync.read(renderPng(svg, 1));
    expect([width, height]).toEqual([pictureWidth, picture.height]);
    let inked = 0;
    for (let pixel = 0; pixel < data.length; pixel += 4) if (data[pixel + 1] < 250) inked += 1;
    expect(inked / (width * height)).toBeGreaterThan(0.005);
    const edges = [...Array(width).keys()].flatMap((x) => [4 * x, 4 * ((height - 1) * width + x)]);
    expect(edges.every((pixel) => data[pixel + 1] > 250)).toBe(true);
  });

  it.each(run.filter(({ id }) => id !== "loads"))("$id has its lines above its legend, not in it alone", (picture) => {
    const { width, height, data } = PNG.sync.read(renderPng(renderSvg(picture, themes.light), 2));
    const [grid] = [laidOut(picture, pictureWidth).option.grid].flat() as {
      bottom?: number;
      top: number;
      height: number;
    }[];
    const bottom = grid.bottom ?? picture.panels!.foot;
    const seen = new Set<string>();
    const end = 4 * width * (height - 2 * bottom);
    for (let pixel = 0; pixel < end; pixel += 4) seen.add(data.toString("hex", pixel, pixel + 3));
    // Some may be hidden by others, all cannot be.
    const colors = colorsOfSeries(picture);
    expect(colors.length === 0 || colors.some((color) => seen.has(color.slice(1)))).toBe(true);
  });

  it.each(everyPicture)("$name has no number with more digits than are seen", ({ picture }) => {
    const numbers = JSON.stringify((picture.option as { series: object[] }).series).match(/-?\d+\.\d+(e-?\d+)?/g) ?? [];
    for (const number of numbers) expect(Number(number)).toBe(Number(Number(number).toPrecision(5)));
  });

  it.each(run)("$id names the routers", (picture) => {
    const texts = textsOf(renderSvg(picture, themes.light)).map(({ text }) => text);
    const expected: Record<string, readonly string[]> = {
      "dual-regret": ["alf-lb"],
      solver: ["topk", "ssr", "scot"],
    };
    for (const router of expected[picture.id] ?? routers.map(({ kind }) => kind)) {
      // A plot of its own has its mean in its title, too.
      expect(texts.some((text) => text === router || text.startsWith(`${router} · mean `))).toBe(true);
    }
  });
});

describe("the loads of many experts", async () => {
  const labels = Array.from({ length: 14 }, (_, i) => `${i}`);
  const routers = labels.map((label) => ({ kind: "random", label }));
  const pictures = drawPictures(
    await dataOfRun({ ...smallScenario, steps: 16, tokens: 128, experts: 256, regret: { every: 0 }, routers }),
  );

  it("are a small file for the most panels and rows that there can be, and idle cells are in it", () => {
    const svg = renderSvg(pictureOf(pictures, "loads"), themes.light);
    // As ECharts writes them they take millions.
    expect(Buffer.byteLength(svg)).toBeLessThan(600_000);
    expect(svg).toContain('stroke="#d55e00"');
  });

  it("are summed over steps in each column, which the words say", () => {
    expect(pictureOf(pictures, "loads").reading).toContain("A column covers up to 2 consecutive steps of loads.csv");
    expect(pictureOf(run, "loads").reading).not.toContain("A column covers");
  });
});

describe("the name of a router", () => {
  it("is drawn as it is, whatever it looks like", () => {
    for (const id of ["max-vio", "loads", "regret", "idle", "load-curves"]) {
      const svg = renderSvg(pictureOf(named, id), themes.dark);
      expect(svg).not.toContain("<img");
      expect(
        textsOf(svg).some(({ text }) => hostileDrawn.startsWith(text.replace(/(\.\.\.|…)$/, "")) && text.length > 20),
      ).toBe(true);
    }
  });

  it("changes no object, though it is that of every object's prototype", async () => {
    const labels = ["__proto__", "constructor", "hasOwnProperty"];
    const pictures = drawPictures(
      await dataOfRun({ ...smallScenario, routers: labels.map((label, i) => ({ ...routers[[0, 3, 4][i]], label })) }),
    );
    for (const picture of pictures) {
      const svg = renderSvg(picture, themes.light);
      expect(() => renderPng(svg, 1), picture.id).not.toThrow();
    }
    const inherited: string[] = [];
    for (const key in {}) inherited.push(key);
    expect(inherited).toEqual([]);
  });

  it("is beside its point as it is, though it looks like a placeholder", async () => {
    const labels = ["{a0} {b} {c0}", "$& {@label}", "{x|$1}"];
    const pictures = drawPictures(
      await dataOfRun({ ...smallScenario, routers: labels.map((label, i) => ({ ...routers[[0, 3, 4][i]], label })) }),
    );
    const beside = textsOf(renderSvg(pictureOf(pictures, "pareto"), themes.light)).filter(({ size }) => size === 11);
    expect(
      beside
        .map(({ text }) => text)
        .join(" and ")
        .split(" and ")
        .sort(),
    ).toEqual(labels.toSorted());
  });

  it("keeps what looks like a colour of the theme", () => {
    expect(JSON.stringify(chartOption(pictureOf(named, "max-vio"), themes.dark))).toContain("& @variant3 ]]>");
  });
});

describe("thirty routers with odd names", async () => {
  const odd = [
    "a=1+1",
    "a+",
    "b-",
    "a @variant3",
    "\u202Eright to left",
    "e\u0301\u0301\u0301",
    "模型 🧪",
    "x".repeat(200),
    'a, "b"\t',
    "{a}",
  ];
  const labels = Array.from({ length: 30 }, (_, i) => `${odd[i % odd.length]}${i < odd.length ? "" : ` ${i}`}`);
  const data = await dataOfRun({
    ...smallScenario,
    routers: labels.map((label, i) => ({ kind: i % 2 === 0 ? "topk" : "alf-lb", label })),
  });

  it.each([pictureWidth, 320])("have pictures %i pixels wide that are well-formed, with text inside", (width) => {
    const pictures = drawPictures(data, width);
    expect(pictures.length).toBeGreaterThan(5);
    for (const picture of pictures) {
      const svg = renderSvg(picture, themes.light, width);
      expect(() => renderPng(svg, 0.5), picture.id).not.toThrow();
      // Upright names of axes are placed by a matrix.
      const upright = new Set([picture.option.yAxis].flat().map((axis) => axis?.name));
      for (const { text, x, y } of textsOf(svg)) {
        if (picture.panels !== undefined && upright.has(text)) continue;
        expect(x >= 0 && x <= width && y >= 0, `${picture.id}: ${text} at ${x}, ${y}`).toBe(true);
      }
    }
  });
});

describe("a picture without its legends", () => {
  it.each(everyPicture)("$name has plots of the same size, and no room for a legend", ({ picture }) => {
    const plain = withoutLegends(picture);
    const legends = [picture.option.legend ?? []].flat();
    expect(plain.option.legend).toBeUndefined();
    // A line of a legend takes 24 pixels.
    expect(picture.height - plain.height).toBeGreaterThanOrEqual(36 * legends.length);
    const plots = (of: Picture) => {
      const { option, height } = laidOut(of, pictureWidth);
      const grids = [option.grid].flat() as { top: number; bottom?: number; height?: number }[];
      return grids.map((grid) => grid.height ?? height - grid.top - grid.bottom!);
    };
    expect(plots(plain)).toEqual(plots(picture));
    // What is below the last plot is its axis.
    const { option, height } = laidOut(plain, pictureWidth);
    const last = ([option.grid].flat() as { top: number; bottom?: number; height?: number }[]).at(-1)!;
    if (legends.length > 0) expect(last.bottom ?? height - last.top - last.height!).toBeLessThanOrEqual(60);
  });
});

describe("a legend of fourteen long names", async () => {
  const labels = Array.from({ length: 14 }, (_, i) => `alf-lb updateRate=0.00${i} WWWWWWWW`);
  const pictures = drawPictures(
    await dataOfRun({ ...smallScenario, steps: 2, routers: labels.map((label) => ({ kind: "topk", label })) }),
  );

  it.each(["max-vio", "regret", "pareto"])("is whole and tidy in %s", (id) => {
    const { height } = pictureOf(pictures, id);
    const all = textsOf(renderSvg(pictureOf(pictures, id), themes.light));
    const entries = all.filter(({ text }) => text.startsWith("alf-lb") && text.length > 0);
    expect(new Set(entries.map(({ text }) => text)).size).toBe(14);
    for (const { text, x, y, size } of entries) {
      expect(x).toBeGreaterThanOrEqual(0);
      expect(x + textWidth(text, size)).toBeLessThanOrEqual(pictureWidth);
      expect(y + size / 2).toBeLessThanOrEqual(height);
      for (const other of entries) {
        const isRightBeside = other !== undefined && other.y === y && other.x > x;
        if (isRightBeside) expect(other.x).toBeGreaterThan(x + textWidth(text, size));
      }
    }
  });
});

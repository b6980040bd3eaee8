import { PNG } from "pngjs";
import { expect, it } from "vitest";
import { compactSvg } from "../../../../src/core/pictures/parts/compact-svg.ts";
import { renderPng } from "../../../../src/node/render/render.ts";

const size = { width: 40, height: 24 };

function documentOf(lines: readonly string[]): string {
  return [
    `<svg width="${size.width}" height="${size.height}" xmlns="http://www.w3.org/2000/svg">`,
    ...lines,
    "</svg>",
  ].join("\n");
}

/** A cell as ECharts draws one of `width` × `height` pixels: a little to the left and above, and half a pixel larger. */
function cellPath(x: number, y: number, width: number, height: number, color: string): string {
  return `<path d="M${x - 0.2} ${y - 0.2}l${width + 0.5} 0l0 ${height + 0.5}l-${width + 0.5} 0Z" fill="${color}" ecmeta_ssr_type="chart"></path>`;
}

/** The colour of the pixel at `x`, `y` as `r,g,b`, transparent as empty. */
function pixelOf(data: Buffer, x: number, y: number): string {
  const start = 4 * (y * size.width + x);
  return data[start + 3] === 0 ? "" : Array.from(data.subarray(start, start + 3)).join(",");
}

const red = "rgb(213,94,0)";
const blue = "rgb(8,81,156)";

it("draws cells of one colour as one path, to the pixel", () => {
  // Columns first, as they come: three columns of 5 pixels and two rows of 4 and 3.
  const cells = [0, 1, 2].flatMap((column) => [
    { x: 10 + 5 * column, y: 8, height: 4, color: red },
    { x: 10 + 5 * column, y: 12, height: 3, color: column === 1 ? red : blue },
  ]);
  const svg = compactSvg(documentOf(cells.map(({ x, y, height, color }) => cellPath(x, y, 5, height, color))));
  expect(svg.match(/<path/g)).toHaveLength(3);
  // The row of one colour is one stroke.
  expect(svg).toContain('d="M10 8h15"');
  const { data } = PNG.sync.read(renderPng(svg, 1));
  for (let x = 0; x < size.width; x++) {
    for (let y = 0; y < size.height; y++) {
      const inside = cells.find((cell) => x >= cell.x && x < cell.x + 5 && y >= cell.y && y < cell.y + cell.height);
      expect(pixelOf(data, x, y), `${x}, ${y}`).toBe(inside === undefined ? "" : inside.color.slice(4, -1));
    }
  }
});

it("leaves what clips others a shape, which ECharts writes as it does a cell", () => {
  const clip = [
    '<defs><clipPath id="a">',
    cellPath(10, 4, 8, 8, "#000").replace(/ ecmeta_\w+="[^"]*"/, ""),
    "</clipPath></defs>",
  ];
  const svg = documentOf([
    ...clip,
    '<g clip-path="url(#a)">',
    '<rect width="40" height="24" fill="#ff0000"></rect>',
    "</g>",
  ]);
  expect(compactSvg(svg)).toBe(svg);
});

it("leaves all else where it stands, before and behind the cells", () => {
  const before = '<rect width="40" height="24" fill="#ffffff"></rect>';
  const line = '<path d="M1 2L3 4" fill="none" stroke="#000"></path>';
  const text = "<text>&lt;path d=&quot;M1 1l2 0l0 2l-2 0Z&quot; fill=&quot;red&quot;&gt;</text>";
  const cellsAt = (x: number) => [cellPath(x, 4, 2, 2, red), cellPath(x + 2, 4, 2, 2, red)];
  const written = compactSvg(documentOf([before, ...cellsAt(4), line, ...cellsAt(8), text]));
  expect(written.split("\n").slice(1, -1)).toEqual([
    before,
    expect.stringContaining('d="M4 4h4"'),
    line,
    expect.stringContaining('d="M8 4h4"'),
    text,
  ]);
});

it("leaves out what ECharts marks elements with, and no text that looks like it", () => {
  const svg = compactSvg(documentOf(['<text class="zr0" ecmeta_series_index="1"> class=&quot;a&quot;</text>']));
  expect(svg).toContain("<text> class=&quot;a&quot;</text>");
});

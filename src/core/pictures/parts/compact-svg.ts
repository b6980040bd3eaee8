/** A heat map cell as ECharts writes it, half a pixel larger than its place so that no gap shines through. */
const cell = /^<path d="M([\d.]+) ([\d.]+)l([\d.]+) 0l0 ([\d.]+)l-[\d.]+ 0Z" fill="([^"]+)"><\/path>$/;
/** Attributes that ECharts adds for interactive pages. Text contains no unescaped quotation marks. */
const pageAttributes = / (?:ecmeta_\w+|class)="[^"]*"/g;

/** Cells of one colour and height side by side. */
interface Stroke {
  readonly x: number;
  readonly y: number;
  width: number;
}

/**
 * Compacts an SVG document from ECharts: it looks the same, and is several times smaller for heat maps. Cells of one
 * colour become a single path whose strokes are as thick as the cells are high. Places and sizes of cells must be whole
 * pixels. Everything else stays, without the attributes that only ECharts reads.
 */
export function compactSvg(svg: string): string {
  const written: string[] = [];
  const lines = svg.replaceAll(pageAttributes, "").split("\n");
  for (let next = 0; next < lines.length; ) {
    const cells: RegExpExecArray[] = [];
    for (let found = cell.exec(lines[next]); found !== null; found = cell.exec(lines[next + cells.length] ?? "")) {
      cells.push(found);
    }
    // A single one may be a clipping area, which a stroke cannot be.
    if (cells.length < 2) written.push(lines[next]);
    else written.push(...pathsOf(cells));
    next += Math.max(1, cells.length);
  }
  return written.join("\n");
}

/** Returns a path for each colour and height of `cells`, which do not overlap. */
function pathsOf(cells: readonly RegExpExecArray[]): string[] {
  const strokes = new Map<string, Stroke[]>();
  // By end position, where the next cell of the row continues.
  const growing = new Map<string, Stroke>();
  for (const [, x, y, width, height, color] of cells) {
    const [left, top] = [Math.round(Number(x)), Math.round(Number(y))];
    const [cellWidth, cellHeight] = [Math.floor(Number(width)), Math.floor(Number(height))];
    // A stroke is centred on its line, so all lines are moved to the middle of the cells at once.
    const attributes = `stroke="${color}" stroke-width="${cellHeight}" transform="translate(0 ${cellHeight / 2})"`;
    const endAt = (end: number) => `${attributes} ${end} ${top}`;
    let stroke = growing.get(endAt(left));
    if (stroke === undefined) {
      stroke = { x: left, y: top, width: 0 };
      const alike = strokes.get(attributes);
      if (alike === undefined) strokes.set(attributes, [stroke]);
      else alike.push(stroke);
    }
    growing.delete(endAt(left));
    stroke.width += cellWidth;
    growing.set(endAt(left + cellWidth), stroke);
  }
  return Array.from(strokes, ([attributes, alike]) => {
    const places = alike.map(({ x, y, width }) => `M${x} ${y}h${width}`).join("");
    return `<path ${attributes} shape-rendering="crispEdges" d="${places}"></path>`;
  });
}

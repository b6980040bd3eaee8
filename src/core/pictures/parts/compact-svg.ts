/** A cell of a heatmap as ECharts writes it, half a pixel larger than the place it has so that no gap shines through. */
const cell = /^<path d="M([\d.]+) ([\d.]+)l([\d.]+) 0l0 ([\d.]+)l-[\d.]+ 0Z" fill="([^"]+)"><\/path>$/;
/** What ECharts marks elements with for a page that brings them to life. Text holds no quotation marks unescaped. */
const pageAttributes = / (?:ecmeta_\w+|class)="[^"]*"/g;

/** Cells of one colour and height side by side. */
interface Stroke {
  readonly x: number;
  readonly y: number;
  width: number;
}

/**
 * An SVG document that ECharts wrote, as one that looks the same and is several times smaller where it is a heatmap: cells
 * of one colour become a single path whose strokes are as thick as the cells are high. Cells must have places and sizes in
 * whole pixels. What is no cell stays, without the attributes that only ECharts itself reads.
 */
export function compactSvg(svg: string): string {
  const written: string[] = [];
  const lines = svg.replaceAll(pageAttributes, "").split("\n");
  for (let next = 0; next < lines.length; ) {
    const cells: RegExpExecArray[] = [];
    for (let found = cell.exec(lines[next]); found !== null; found = cell.exec(lines[next + cells.length] ?? "")) {
      cells.push(found);
    }
    // One by itself may be what others are clipped by, which a stroke cannot be.
    if (cells.length < 2) written.push(lines[next]);
    else written.push(...pathsOf(cells));
    next += Math.max(1, cells.length);
  }
  return written.join("\n");
}

/** A path for each colour and height of `cells`, which do not overlap. */
function pathsOf(cells: readonly RegExpExecArray[]): string[] {
  const strokes = new Map<string, Stroke[]>();
  // By where it ends, which is where the next cell of its row goes on.
  const growing = new Map<string, Stroke>();
  for (const [, x, y, width, height, color] of cells) {
    const [left, top] = [Math.round(Number(x)), Math.round(Number(y))];
    const [cellWidth, cellHeight] = [Math.floor(Number(width)), Math.floor(Number(height))];
    // A stroke lies around its line, which is moved to the middle of the cells for all strokes at once.
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

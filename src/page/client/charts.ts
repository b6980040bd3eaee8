import { compactSvg } from "../../core/pictures/parts/compact-svg.ts";
import { chartOption, type ThemeName, themes } from "../../core/pictures/parts/theme.ts";
import { type Picture, pictureWidth } from "../../core/pictures/picture.ts";
import { init } from "./echarts-parts.ts";
import { createLegend, type Highlight } from "./highlight.ts";
import type { Look } from "./look.ts";
import { type ClickedPart, pageFont, pageOption, routersAt } from "./page-option.ts";

/** Sharp even on screens with few pixels. */
const leastPixelRatio = 2;

/** The charts of the page's pictures. */
export interface Charts {
  /** Draws all charts again with the current look and highlight, before the call returns. */
  draw(): void;
}

/**
 * Draws each picture into its element, with its legend below, and again when its width changes. A click on a line, a
 * point, a bar or the title of a plot chooses its router.
 *
 * @param known the names of all routers
 */
export function createCharts(
  pictures: readonly Picture[],
  known: ReadonlySet<string>,
  look: () => Look,
  highlight: Highlight,
): Charts {
  const draws = pictures.flatMap((picture) => {
    const element = document.querySelector<HTMLElement>(`[data-picture="${CSS.escape(picture.id)}"]`);
    if (element === null) return [];
    const canvas = document.createElement("div");
    element.append(canvas);
    const chart = init(canvas, null, { devicePixelRatio: Math.max(leastPixelRatio, devicePixelRatio) });
    chart.on("click", (part) => highlight.toggle(routersAt(picture, part as ClickedPart, known)));
    const paper = document.createElement("div");
    paper.className = "paper";
    element.append(paper);
    const legend = createLegend(picture, known, highlight);
    if (legend !== null) element.parentElement!.after(legend);
    const draw = () => {
      const { theme, isPrinting } = look();
      canvas.hidden = isPrinting;
      if (isPrinting) {
        // Browsers print a canvas with its current pixels, or blank; SVG is always printed whole.
        element.style.height = "auto";
        paper.innerHTML = drawSvg(picture, theme);
        return;
      }
      paper.replaceChildren();
      const width = element.clientWidth;
      if (width === 0) return;
      const { option, height } = pageOption(picture, themes[theme], width, highlight.chosen, known);
      element.style.height = `${height}px`;
      chart.resize({ width, height });
      chart.setOption(option, { notMerge: true });
      paintWhole(chart.getZr());
    };
    let drawnWidth = 0;
    new ResizeObserver(() => {
      if (element.clientWidth === drawnWidth) return;
      drawnWidth = element.clientWidth;
      draw();
    }).observe(element);
    return [draw];
  });
  return {
    draw() {
      for (const draw of draws) draw();
    },
  };
}

/**
 * Paints all of a chart before the call returns. ECharts paints the cells of every heat map, however few, over several
 * frames, and until the last frame the heat map lacks cells.
 */
function paintWhole(zrender: ReturnType<ReturnType<typeof init>["getZr"]>): void {
  for (const element of zrender.storage.getDisplayList(true)) {
    if (!element.incremental) continue;
    element.incremental = 0;
    element.dirty();
  }
  zrender.refreshImmediately();
}

/** Returns the picture with its legend and without highlights as an SVG document, as wide as it was laid out for. */
export function drawSvg(picture: Picture, theme: ThemeName): string {
  const { option, height } = chartOption(picture, themes[theme]);
  const chart = init(null, null, { renderer: "svg", ssr: true, width: pictureWidth, height });
  chart.setOption({ ...option, textStyle: { ...option.textStyle, fontFamily: pageFont } });
  const svg = compactSvg(chart.renderToSVGString());
  chart.dispose();
  return svg;
}

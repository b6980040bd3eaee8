import { compactSvg } from "../../core/pictures/parts/compact-svg.ts";
import { type ThemeName, themes } from "../../core/pictures/parts/theme.ts";
import { type Picture, pictureWidth } from "../../core/pictures/picture.ts";
import { init } from "./echarts-parts.ts";
import type { Look } from "./look.ts";
import { pageOption } from "./page-option.ts";

/** Sharp on screens that have few pixels, too. */
const leastPixelRatio = 2;

/** The charts of the page's pictures. */
export interface Charts {
  /** Draws all charts in another look, before the call returns. */
  setLook(look: Look): void;
}

/** Draws each picture into the element that is there for it, and again when the width of that changes. */
export function createCharts(pictures: readonly Picture[], initialLook: Look): Charts {
  let look = initialLook;
  const draws = pictures.flatMap((picture) => {
    const element = document.querySelector<HTMLElement>(`[data-picture="${CSS.escape(picture.id)}"]`);
    if (element === null) return [];
    const canvas = document.createElement("div");
    element.append(canvas);
    const chart = init(canvas, null, { devicePixelRatio: Math.max(leastPixelRatio, devicePixelRatio) });
    const paper = document.createElement("div");
    paper.className = "paper";
    element.append(paper);
    const isHidden = (name: string) =>
      ([chart.getOption().legend].flat() as { selected?: Record<string, boolean> }[]).some(
        (legend) => legend?.selected?.[name] === false,
      );
    const draw = () => {
      canvas.hidden = look.isPrinting;
      if (look.isPrinting) {
        // Browsers print a canvas as the pixels that it happens to hold, or blank; SVG is printed as it is.
        element.style.height = "auto";
        paper.innerHTML = drawSvg(picture, look.theme);
        return;
      }
      paper.replaceChildren();
      const width = element.clientWidth;
      if (width === 0) return;
      const { option, height } = pageOption(picture, themes[look.theme], width, isHidden);
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
    setLook(next) {
      look = next;
      for (const draw of draws) draw();
    },
  };
}

/**
 * Paints all of a chart before the call returns. ECharts marks the cells of every heat map, however few, as ones that are
 * painted a few at a time, frame after frame, and a heat map that is looked at before the last frame lacks cells.
 */
function paintWhole(zrender: ReturnType<ReturnType<typeof init>["getZr"]>): void {
  for (const element of zrender.storage.getDisplayList(true)) {
    if (!element.incremental) continue;
    element.incremental = 0;
    element.dirty();
  }
  zrender.refreshImmediately();
}

/** The picture as an SVG document as wide as it was laid out for. */
export function drawSvg(picture: Picture, theme: ThemeName): string {
  const { option, height } = pageOption(picture, themes[theme], pictureWidth, () => false);
  const chart = init(null, null, { renderer: "svg", ssr: true, width: pictureWidth, height });
  chart.setOption(option);
  const svg = compactSvg(chart.renderToSVGString());
  chart.dispose();
  return svg;
}

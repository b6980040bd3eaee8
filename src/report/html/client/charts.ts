import { compactSvg } from "../../pictures/compact-svg.ts";
import { type Picture, pictureWidth } from "../../pictures/picture.ts";
import { themes } from "../../pictures/theme.ts";
import { init } from "./echarts-parts.ts";
import type { Look } from "./look.ts";
import { pageOption } from "./page-option.ts";

/** Sharp on paper as well as on a screen that has fewer pixels. */
const leastPixelRatio = 2;

/** The charts of the page's pictures. */
export interface Charts {
  /** Draws all charts in another look, before the call returns. */
  setLook(look: Look): void;
}

/** Draws each picture into the element that is there for it, and anew when the width of that changes. */
export function createCharts(pictures: readonly Picture[], initialLook: Look): Charts {
  let look = initialLook;
  const draws = pictures.flatMap((picture) => {
    const element = document.querySelector<HTMLElement>(`[data-picture="${CSS.escape(picture.id)}"]`);
    if (element === null) return [];
    const chart = init(element, null, { devicePixelRatio: Math.max(leastPixelRatio, devicePixelRatio) });
    const draw = () => {
      // On paper nobody leafs through a legend: the styles for print scale the whole picture down.
      const width = look.isPrinting ? pictureWidth : element.clientWidth;
      if (width === 0) return;
      chart.resize({ width, height: picture.height });
      chart.setOption(pageOption(picture, themes[look.theme], width), { notMerge: true });
      chart.getZr().flush();
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

/** The picture as an SVG document as wide as it was laid out for, in the colours of `look`. */
export function drawSvg(picture: Picture, { theme }: Look): string {
  const size = { width: pictureWidth, height: picture.height };
  const chart = init(null, null, { renderer: "svg", ssr: true, ...size });
  chart.setOption(pageOption(picture, themes[theme], pictureWidth));
  const svg = compactSvg(chart.renderToSVGString());
  chart.dispose();
  return svg;
}

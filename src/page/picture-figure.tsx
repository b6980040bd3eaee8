import type { ComponentChildren } from "preact";
import { withoutLegends } from "../core/pictures/parts/legend.ts";
import type { Picture } from "../core/pictures/picture.ts";

/**
 * A picture with its caption and whatever else belongs to it. The page's script draws the chart and lists its legend;
 * without the script only the words remain.
 */
export function PictureFigure({ picture, children }: { picture: Picture; children?: ComponentChildren }) {
  const { id, title, finding, reading } = picture;
  const { height } = withoutLegends(picture);
  const scrolls = hasLongRowNames(picture);
  return (
    <section id={id} class="picture" aria-labelledby={`${id}-title`}>
      <h3 id={`${id}-title`}>{title}</h3>
      <figure>
        <div
          class={scrolls ? "scrolling needs-script" : "needs-script"}
          role="img"
          aria-label={finding}
          tabIndex={scrolls ? 0 : undefined}
        >
          <div class="chart" data-picture={id} style={{ height: `${height}px` }} aria-hidden="true" />
        </div>
        <noscript>
          <p class="note">The picture needs JavaScript, which this browser does not run.</p>
        </noscript>
        <figcaption>
          <p>{finding}</p>
          <p class="muted">{reading}</p>
          <button type="button" class="needs-script" data-download={id} aria-label={`Download SVG of “${title}”`}>
            Download SVG
          </button>
        </figcaption>
      </figure>
      {children}
    </section>
  );
}

/** Maximum width of row names, in pixels, that leaves room for a plot on a phone. */
const longestOnPhone = 140;

/** If row names leave no room for the plot, the picture scrolls within a narrower page. */
function hasLongRowNames({ option: { yAxis } }: Picture): boolean {
  return [yAxis]
    .flat()
    .some((axis) => axis?.type === "category" && Number(axis.axisLabel?.width ?? 0) > longestOnPhone);
}

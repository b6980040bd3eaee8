import type { ComponentChildren } from "preact";
import { withoutLegends } from "../core/pictures/parts/legend-room.ts";
import type { Picture } from "../core/pictures/picture.ts";

/**
 * A picture with its words and what else belongs to it. The page's script draws the chart and lists its legend; without it
 * the words stand alone.
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
          <p class="note">The picture is drawn by a script, which this browser does not run.</p>
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

/** Pixels beside which a phone has room for a plot. */
const longestOnPhone = 140;

/** Rows whose names would leave no room for what is beside them scroll within a page that is narrower. */
function hasLongRowNames({ option: { yAxis } }: Picture): boolean {
  return [yAxis]
    .flat()
    .some((axis) => axis?.type === "category" && Number(axis.axisLabel?.width ?? 0) > longestOnPhone);
}

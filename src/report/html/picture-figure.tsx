import type { Picture } from "../pictures/picture.ts";

/** A picture with its words. The page's script draws the chart; without it the words stand alone. */
export function PictureFigure({ picture }: { picture: Picture }) {
  const { id, title, finding, reading, height } = picture;
  return (
    <section id={id} class="picture" aria-labelledby={`${id}-title`}>
      <h3 id={`${id}-title`}>{title}</h3>
      <figure>
        <div
          class={hasPanels(picture) ? "panels needs-script" : "needs-script"}
          role="img"
          aria-label={finding}
          tabIndex={hasPanels(picture) ? 0 : undefined}
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
    </section>
  );
}

/** Panels beside one another have places in pixels: where the page is narrower, they scroll within it. */
function hasPanels({ option: { grid } }: Picture): boolean {
  return Array.isArray(grid) && grid.length > 1;
}

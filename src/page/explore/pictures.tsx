import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type ThemeName, themes } from "../../core/pictures/parts/theme.ts";
import { formatNumber } from "../../core/results/format.ts";
import type { Frame, MetricFacts, ResolvedFacts, RouterFacts } from "./messages.ts";
import type { Proof } from "./simulator.ts";

/** All that pictures show. */
export interface Shown {
  readonly resolved: ResolvedFacts;
  readonly frame: Frame;
  /** `[routers][metrics of seriesMetrics]`, a value per step so far, NaN if there is none. */
  readonly series: readonly (readonly (readonly number[])[])[];
  readonly proof: Proof | null;
  readonly metrics: ReadonlyMap<string, MetricFacts>;
  readonly theme: ThemeName;
}

const left = 46;
const right = 10;

const colorOf = (router: number) => `var(--variant${router})`;

interface ChartProps {
  readonly id: string;
  readonly title: string;
  /** How to read it, and what the numbers mean. */
  readonly reading: string;
  readonly height: number;
  /** Number of places that the pointer and the arrow keys can choose. */
  readonly count: number;
  /** The place at a horizontal position, 0 to 1 within the plot. */
  readonly placeAt?: (fraction: number) => number;
  /** All numbers of a place. */
  readonly describe: (place: number) => string;
  /** What the picture shows, without a place chosen. */
  readonly finding: string;
  readonly draw: (width: number, place: number | null) => ComponentChildren;
  readonly children?: ComponentChildren;
}

/**
 * A picture as SVG, as wide as its place. A place in it is chosen by pointing at it or, like the thumb of a slider, by the
 * arrow keys; its numbers are then below the picture, where screen readers find them as well.
 */
export function Chart(props: ChartProps) {
  const { id, title, reading, height, count, describe, finding, draw, children } = props;
  const { placeAt = (fraction: number) => Math.floor(fraction * count) } = props;
  const box = useRef<HTMLDivElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(0);
  const [chosen, setChosen] = useState<number | null>(null);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => setWidth(box.current!.clientWidth));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  const place = chosen === null || count === 0 ? null : Math.min(chosen, count - 1);
  const choose = (next: number) => setChosen(Math.max(0, Math.min(count - 1, next)));
  const said = place === null ? finding : describe(place);
  return (
    <figure class="explore-picture" id={id}>
      <div class="picture-head">
        <h3>{title}</h3>
        <button
          type="button"
          class="save"
          onClick={() => saveSvg(id, title, svg.current!)}
          aria-label={`Save “${title}” as SVG`}
        >
          SVG
        </button>
      </div>
      <div
        ref={box}
        class="plot"
        role="slider"
        tabIndex={0}
        aria-label={title}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, count - 1)}
        aria-valuenow={place ?? 0}
        aria-valuetext={said}
        onPointerMove={({ currentTarget, clientX }) => {
          const fraction = (clientX - currentTarget.getBoundingClientRect().left - left) / (width - left - right);
          choose(placeAt(Math.max(0, Math.min(1 - 1e-9, fraction))));
        }}
        onPointerLeave={() => setChosen(null)}
        onBlur={() => setChosen(null)}
        onKeyDown={(event) => {
          const page = Math.max(1, Math.round(count / 10));
          const moves: Record<string, number> = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
          const leaps: Record<string, number> = { PageUp: page, PageDown: -page };
          const ends: Record<string, number> = { Home: 0, End: count - 1 };
          const { key } = event;
          if (key === "Escape") setChosen(null);
          else if (key in ends) choose(ends[key]);
          else if (key in moves) choose(place === null ? 0 : place + moves[key]);
          else if (key in leaps) choose((place ?? 0) + leaps[key]);
          else return;
          event.preventDefault();
        }}
      >
        <svg ref={svg} width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
          {width > 0 && draw(width, place)}
        </svg>
      </div>
      <figcaption>
        <p class="said">{said}</p>
        <p class="muted">{reading}</p>
        {children}
      </figcaption>
    </figure>
  );
}

/** A stripe behind the bar of the chosen expert. */
function ChosenExpert({
  expert,
  barWidth,
  top,
  bottom,
}: {
  readonly expert: number | null;
  readonly barWidth: number;
  readonly top: number;
  readonly bottom: number;
}) {
  if (expert === null) return null;
  return (
    <rect
      x={round(left + expert * barWidth)}
      y={top}
      width={Math.max(2, round(barWidth))}
      height={bottom - top}
      fill="var(--grid-line)"
    />
  );
}

/** A router's name beside its colour, which alone would be too faint for text. */
function RowTitle({ name, router, y }: { readonly name: string; readonly router: number; readonly y: number }) {
  return (
    <g>
      <rect x={left} y={y - 9} width={10} height={10} rx={2} fill={colorOf(router)} />
      <text class="row-title" x={left + 16} y={y} fill="var(--text)">
        {name}
      </text>
    </g>
  );
}

function Axis({
  top,
  bottom,
  max,
  min = 0,
  width,
  format = formatNumber,
}: {
  readonly top: number;
  readonly bottom: number;
  readonly max: number;
  readonly min?: number;
  readonly width: number;
  readonly format?: (value: number) => string;
}) {
  const count = bottom - top < 110 ? 2 : 4;
  const values = ticks(min, max, count);
  return (
    <g class="axis">
      {values.map((value) => {
        const y = bottom - ((value - min) / (max - min)) * (bottom - top);
        return (
          <g key={value}>
            <path d={`M${left} ${round(y)}H${width - right}`} stroke="var(--grid-line)" />
            <text x={left - 6} y={round(y) + 4} text-anchor="end">
              {format(value)}
            </text>
          </g>
        );
      })}
    </g>
  );
}

/** Returns about `count` round numbers from `min` to `max`. */
function ticks(min: number, max: number, count: number): number[] {
  const span = max - min;
  if (!(span > 0)) return [min];
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!;
  const first = Math.ceil(min / step - 1e-9);
  const last = Math.floor(max / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

function round(value: number): number {
  return Math.round(10 * value) / 10;
}

function definition(metrics: Shown["metrics"], id: string): string {
  const metric = metrics.get(id);
  return metric === undefined ? "" : `${capitalised(metric.label)}: ${metric.definition}.`;
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The loads of a step as bars, a row per router, on one scale. */
export function LoadsPicture({ resolved, frame }: Shown) {
  const { experts, topK, routers } = resolved;
  const mean = (frame.tokens * topK) / experts;
  const rowHeight = 92;
  const head = 20;
  const most = Math.max(2, ...frame.routers.map(({ load }) => mostOf(load) / mean));
  const height = routers.length * rowHeight + 22;
  const idle = frame.routers.map(({ load }) => load.reduce((count, pairs) => count + Number(pairs === 0), 0));
  return (
    <Chart
      id="loads"
      title={`Loads of the experts, step ${frame.steps - 1}`}
      reading={`A bar per expert: its load, the pairs of this batch that went to it, as a multiple of the mean ${formatNumber(mean)}. The solid line is the mean, the dashed one the capacity of ${frame.capacity} pairs.`}
      height={height}
      count={experts}
      describe={(expert) =>
        `Expert ${expert}: ${routers
          .map(({ name }, index) => {
            const load = frame.routers[index].load[expert];
            return `${name} ${load} pairs (${formatNumber(load / mean)}× the mean)`;
          })
          .join(", ")}.`
      }
      finding={routers
        .map(({ name }, index) => {
          const largest = mostOf(frame.routers[index].load) / mean;
          return `${name}: largest ${formatNumber(largest)}× the mean, ${idle[index]} idle`;
        })
        .join("; ")}
      draw={(width, expert) => {
        const barWidth = (width - left - right) / experts;
        const gap = barWidth > 4 ? 1 : 0;
        return (
          <>
            {routers.map(({ name }, index) => {
              const top = index * rowHeight + head;
              const bottom = (index + 1) * rowHeight - 4;
              const scale = (bottom - top) / most;
              const bars = Array.from(frame.routers[index].load, (load, e) => {
                const x = round(left + e * barWidth);
                return `M${x} ${bottom}V${round(bottom - (load / mean) * scale)}h${round(barWidth - gap)}V${bottom}z`;
              });
              return (
                <g key={name}>
                  <Axis top={top} bottom={bottom} max={most} width={width} />
                  <RowTitle name={name} router={index} y={top - 7} />
                  <ChosenExpert {...{ expert, barWidth, top, bottom }} />
                  <path class="bars" d={bars.join("")} fill={colorOf(index)} />
                  <path d={`M${left} ${round(bottom - scale)}H${width - right}`} stroke="var(--text)" opacity={0.6} />
                  {frame.capacity / mean <= most && (
                    <path
                      d={`M${left} ${round(bottom - (frame.capacity / mean) * scale)}H${width - right}`}
                      stroke="var(--text)"
                      stroke-dasharray="4 4"
                      opacity={0.6}
                    />
                  )}
                </g>
              );
            })}
            <text x={left} y={height - 5}>
              expert 0
            </text>
            <text x={width - right} y={height - 5} text-anchor="end">
              expert {experts - 1}
            </text>
          </>
        );
      }}
    />
  );
}

function mostOf(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]);
  return most;
}

/** A metric over the steps so far, a line per router. */
export function SeriesPicture({
  shown: { resolved, series, metrics, frame },
  metric,
  position,
}: {
  readonly shown: Shown;
  readonly metric: string;
  /** In `seriesMetrics`. */
  readonly position: number;
}) {
  const lines = series.map((ofRouter) => ofRouter[position]);
  const facts = metrics.get(metric)!;
  const isShare = facts.unit === "fraction";
  const steps = frame.steps;
  const top = 10;
  const height = 190;
  const bottom = height - 24;
  const all = lines.flat().filter((value) => !Number.isNaN(value));
  const most = all.reduce((largest, value) => Math.max(largest, value), 0) || 1;
  const text = (value: number | undefined) =>
    value === undefined || Number.isNaN(value) ? "–" : isShare ? `${formatNumber(100 * value)} %` : formatNumber(value);
  const valuesAt = (step: number) =>
    resolved.routers.map(({ name }, index) => `${name} ${text(lines[index][step])}`).join(", ");
  return (
    <Chart
      id={metric.replaceAll("_", "-")}
      title={`${capitalised(facts.label)} over the steps`}
      reading={definition(metrics, metric)}
      height={height}
      count={steps}
      placeAt={(fraction) => Math.round(fraction * (steps - 1))}
      describe={(step) => `Step ${step}: ${valuesAt(step)}.`}
      finding={`On the last step: ${valuesAt(steps - 1)}.`}
      draw={(width, chosen) => {
        const x = (step: number) => left + (steps < 2 ? 0 : (step / (steps - 1)) * (width - left - right));
        const y = (value: number) => bottom - (value / most) * (bottom - top);
        return (
          <>
            <Axis
              top={top}
              bottom={bottom}
              max={most}
              width={width}
              format={(value) => (isShare ? `${formatNumber(100 * value)} %` : formatNumber(value))}
            />
            <text x={left} y={height - 6}>
              step 0
            </text>
            <text x={width - right} y={height - 6} text-anchor="end">
              {steps - 1}
            </text>
            {chosen !== null && <path d={`M${round(x(chosen))} ${top}V${bottom}`} stroke="var(--muted-text)" />}
            {lines.map((line, index) => (
              <path
                key={resolved.routers[index].name}
                d={pathOf(line, x, y, width)}
                fill="none"
                stroke={colorOf(index)}
                stroke-width={2}
                stroke-linejoin="round"
              />
            ))}
            {lines.map((line, index) => {
              const step = chosen ?? steps - 1;
              const value = line[step];
              return value === undefined || Number.isNaN(value) ? null : (
                <circle
                  key={resolved.routers[index].name}
                  cx={round(x(step))}
                  cy={round(y(value))}
                  r={3}
                  fill={colorOf(index)}
                />
              );
            })}
          </>
        );
      }}
    />
  );
}

/** Draws no more points than pixels: of several steps in one, the least and the largest value. */
function pathOf(
  values: readonly number[],
  x: (step: number) => number,
  y: (value: number) => number,
  width: number,
): string {
  const group = Math.max(1, Math.floor((2 * values.length) / Math.max(1, width)));
  const points: [step: number, value: number][] = [];
  for (let from = 0; from < values.length; from += group) {
    const inside: [number, number][] = [];
    for (let step = from; step < Math.min(values.length, from + group); step++) {
      if (!Number.isNaN(values[step])) inside.push([step, values[step]]);
    }
    if (inside.length === 0) continue;
    const least = inside.reduce((best, point) => (point[1] < best[1] ? point : best));
    const largest = inside.reduce((best, point) => (point[1] > best[1] ? point : best));
    points.push(...(least[0] === largest[0] ? [least] : [least, largest].sort((a, b) => a[0] - b[0])));
  }
  return points
    .map(([step, value], index) => `${index === 0 ? "M" : "L"}${round(x(step))} ${round(y(value))}`)
    .join("");
}

/** Where the tokens of the step go, side by side: the transport plan of routers that solve for one on this step, else the selection. */
export function HeatMaps({ resolved, frame, theme }: Shown) {
  const { heatMap } = frame;
  const [said, setSaid] = useState<string | null>(null);
  if (heatMap === null) return null;
  const { rows, columns, tokens } = heatMap;
  const tokensPerRow = Math.ceil(tokens / rows);
  const summary = `${tokens} tokens in ${rows} rows of up to ${tokensPerRow}, ${resolved.experts} experts.`;
  return (
    <figure class="explore-picture" id="plan">
      <div class="picture-head">
        <h3>Where the tokens go, step {frame.steps - 1}</h3>
      </div>
      <div class="heat-maps">
        {resolved.routers.map((router, index) => (
          <HeatMapOf
            key={`${router.name} ${rows} ${columns}`}
            router={router}
            values={heatMap.values[index]}
            isPlan={heatMap.isPlan[index]}
            rows={rows}
            columns={columns}
            theme={theme}
            index={index}
            said={said ?? summary}
            onPlace={(place) => {
              if (place === null) {
                setSaid(null);
                return;
              }
              const [row, column] = place;
              const value = heatMap.values[index][row * columns + column];
              const what = heatMap.isPlan[index] ? "of their mass in the plan" : "of their pairs";
              const from = Math.floor((column * resolved.experts) / columns);
              const to = Math.ceil(((column + 1) * resolved.experts) / columns) - 1;
              const expert = from >= to ? `expert ${from}` : `each of the experts ${from} to ${to}`;
              setSaid(
                `${router.name}, tokens of row ${row}: ${formatNumber((100 * value) / resolved.experts)} % ${what} on ${expert}, ${formatNumber(value)}× the even share.`,
              );
            }}
          />
        ))}
      </div>
      <figcaption>
        <p class="said">{said ?? summary}</p>
        <p class="muted">
          Rows are the tokens of the batch, ordered by their best expert; columns are the experts. A cell is the share
          that the expert has of its tokens: of their transport plan if the router solved for one, otherwise of their
          selected pairs. Stripes are experts that everybody gets; a diagonal is every token's own best.
        </p>
      </figcaption>
    </figure>
  );
}

function HeatMapOf({
  router,
  values,
  isPlan,
  rows,
  columns,
  theme,
  index,
  said,
  onPlace,
}: {
  readonly router: RouterFacts;
  readonly values: Float32Array;
  readonly isPlan: boolean;
  readonly rows: number;
  readonly columns: number;
  readonly theme: ThemeName;
  readonly index: number;
  /** What is said of the chosen cell. */
  readonly said: string;
  readonly onPlace: (place: readonly [row: number, column: number] | null) => void;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const place = useRef<[row: number, column: number]>([0, 0]);
  useEffect(() => paintCells(canvas.current!, values, rows, columns, theme), [values, rows, columns, theme]);
  const moveTo = (row: number, column: number) => {
    place.current = [Math.max(0, Math.min(rows - 1, row)), Math.max(0, Math.min(columns - 1, column))];
    onPlace(place.current);
  };
  return (
    <div class="heat-map">
      <div class="picture-head">
        <p>
          <span class={`mark mark${index}`} aria-hidden="true" />
          {router.name} <span class="muted">{isPlan ? "plan" : "selection"}</span>
        </p>
        <button
          type="button"
          class="save"
          aria-label={`Save the heat map of ${router.name} as SVG`}
          onClick={() => saveText(`plan-${router.name}.svg`, heatMapSvg(canvas.current!, router.name), "image/svg+xml")}
        >
          SVG
        </button>
      </div>
      <div
        class="cells"
        role="slider"
        tabIndex={0}
        aria-label={`Cells of the heat map of ${router.name}`}
        aria-valuemin={0}
        aria-valuemax={rows * columns - 1}
        aria-valuenow={place.current[0] * columns + place.current[1]}
        aria-valuetext={said}
        onPointerMove={({ currentTarget, clientX, clientY }) => {
          const { left: x, top: y, width, height } = currentTarget.getBoundingClientRect();
          moveTo(Math.floor(((clientY - y) / height) * rows), Math.floor(((clientX - x) / width) * columns));
        }}
        onPointerLeave={() => onPlace(null)}
        onBlur={() => onPlace(null)}
        onKeyDown={(event) => {
          const moves: Record<string, readonly [number, number]> = {
            ArrowUp: [-1, 0],
            ArrowDown: [1, 0],
            ArrowLeft: [0, -1],
            ArrowRight: [0, 1],
          };
          const move = moves[event.key];
          if (move === undefined) return;
          event.preventDefault();
          const [row, column] = place.current;
          moveTo(row + move[0], column + move[1]);
        }}
      >
        <canvas ref={canvas} width={columns} height={rows} />
      </div>
    </div>
  );
}

/** Cells of this many times the even share have the strongest colour. */
const mostShare = 12;

/** More than a screen can show apart. */
const cellColorCount = 1024;

/** `[cellColorCount]` per theme, the colours of rising shares, four bytes each as a canvas has them. */
const cellColors = { light: cellColorsOf("light"), dark: cellColorsOf("dark") } satisfies Record<
  ThemeName,
  Uint32Array
>;

function cellColorsOf(theme: ThemeName): Uint32Array {
  const scale = themes[theme].scale.map((color) => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16)));
  const bytes = new Uint8ClampedArray(4 * cellColorCount);
  for (let color = 0; color < cellColorCount; color++) {
    const level = (color / (cellColorCount - 1)) * (scale.length - 1);
    const below = Math.min(scale.length - 2, Math.floor(level));
    const part = level - below;
    for (let channel = 0; channel < 3; channel++) {
      bytes[4 * color + channel] = scale[below][channel] * (1 - part) + scale[below + 1][channel] * part;
    }
    bytes[4 * color + 3] = 255;
  }
  return new Uint32Array(bytes.buffer);
}

function paintCells(
  canvas: HTMLCanvasElement,
  values: Float32Array,
  rows: number,
  columns: number,
  theme: ThemeName,
): void {
  const context = canvas.getContext("2d");
  if (context === null || values.length !== rows * columns) return;
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const colors = cellColors[theme];
  for (let cell = 0; cell < values.length; cell++) {
    pixels[cell] = colors[Math.round(Math.min(1, Math.sqrt(values[cell] / mostShare)) * (cellColorCount - 1))];
  }
  context.putImageData(image, 0, 0);
}

function heatMapSvg(canvas: HTMLCanvasElement, name: string): string {
  const [width, height] = [480, 480];
  const document = new DOMParser().parseFromString(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><title/><image width="${width}" height="${height}" preserveAspectRatio="none" image-rendering="pixelated"/></svg>`,
    "image/svg+xml",
  );
  document.querySelector("title")!.textContent = name;
  document.querySelector("image")!.setAttribute("href", canvas.toDataURL("image/png"));
  return new XMLSerializer().serializeToString(document);
}

/** The bias of each expert against the best fixed bias of all steps so far. */
export function PricesPicture({ resolved, frame, proof }: Shown) {
  const { experts } = resolved;
  const rows = resolved.routers.flatMap((router, index) => {
    const bias = frame.routers[index].bias;
    if (bias === null) return [];
    const mean = bias.reduce((sum, value) => sum + value, 0) / experts;
    const best = proof?.best.find(({ scores }) => scores === router.scores) ?? null;
    return [{ router, index, price: Float64Array.from(bias, (value) => mean - value), best }];
  });
  if (rows.length === 0) return null;
  const rowHeight = 120;
  const head = 20;
  const height = rows.length * rowHeight + 22;
  const distanceOf = ({ price, best }: (typeof rows)[number]) =>
    best === null ? null : price.reduce((sum, value, e) => sum + Math.abs(value + best.bias[e]), 0) / experts;
  const gap = Math.max(0, ...(proof?.best ?? []).map((best) => best.gap));
  return (
    <Chart
      id="prices"
      title="Price of each expert"
      reading={
        "The price of an expert is what its bias takes from the affinities: −b, shifted to mean 0, since only differences " +
        `count. The line with dots is −b*, the best fixed bias for all batches so far${
          proof === null || proof.best.length === 0
            ? "; “Prove” computes it."
            : `, proven: no fixed bias has a dual value that is lower by more than ${formatNumber(gap)} per step.`
        }`
      }
      height={height}
      count={experts}
      describe={(expert) =>
        `Expert ${expert}: ${rows
          .map(
            ({ router, price, best }) =>
              `${router.name} ${formatNumber(price[expert])}${best === null ? "" : ` (b*: ${formatNumber(-best.bias[expert])})`}`,
          )
          .join(", ")}.`
      }
      finding={rows
        .map((row) => {
          const distance = distanceOf(row);
          const spread = Math.max(...row.price) - Math.min(...row.price);
          return `${row.router.name}: prices differ by up to ${formatNumber(spread)}${
            distance === null ? "" : `, on average ${formatNumber(distance)} from b*`
          }`;
        })
        .join("; ")}
      draw={(width, expert) => {
        const barWidth = (width - left - right) / experts;
        return rows.map(({ router, index, price, best }, row) => {
          const top = row * rowHeight + head;
          const bottom = (row + 1) * rowHeight - 6;
          const both = [...price, ...(best === null ? [] : Array.from(best.bias, (value) => -value))];
          const most = both.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) || 1;
          const y = (value: number) => round((top + bottom) / 2 - (value / most) * ((bottom - top) / 2));
          const bars = Array.from(price, (value, e) => {
            const x = round(left + e * barWidth);
            return `M${x} ${y(0)}V${y(value)}h${round(Math.max(0.5, barWidth - (barWidth > 4 ? 1 : 0)))}V${y(0)}z`;
          });
          const middle = (e: number) => round(left + (e + 0.5) * barWidth);
          return (
            <g key={router.name}>
              <Axis top={top} bottom={bottom} min={-most} max={most} width={width} />
              <RowTitle name={router.name} router={index} y={top - 7} />
              <ChosenExpert {...{ expert, barWidth, top, bottom }} />
              <path d={bars.join("")} fill={colorOf(index)} opacity={0.75} />
              {best !== null && (
                <g>
                  <path
                    d={Array.from(best.bias, (value, e) => `${e === 0 ? "M" : "L"}${middle(e)} ${y(-value)}`).join("")}
                    fill="none"
                    stroke="var(--text)"
                  />
                  {experts <= 128 &&
                    Array.from(best.bias, (value, e) => (
                      <circle key={e} cx={middle(e)} cy={y(-value)} r={2} fill="var(--text)" />
                    ))}
                </g>
              )}
            </g>
          );
        });
      }}
    />
  );
}

/** Score against balance on the step shown, with the proven frontier. */
export function FrontierPicture({ resolved, frame, proof, metrics }: Shown) {
  const frontier = proof?.frontier ?? [];
  const routers = resolved.routers.flatMap(({ name }, index) => {
    const { max_vio: maxVio, score } = frame.routers[index].figures;
    return maxVio === null || score === null ? [] : [{ name, index, maxVio, score }];
  });
  if (routers.length === 0) return null;
  const places = [
    ...routers.map(({ name, maxVio, score }) => ({
      maxVio,
      score,
      text: `${name}: score ${formatNumber(score)} at a MaxVio of ${formatNumber(maxVio)}.${missedText(maxVio, score)}`,
    })),
    ...frontier.map(({ maxVio, score, capacity, gap }) => ({
      maxVio,
      score,
      text: `Frontier: with at most ${capacity} pairs on each expert, a MaxVio of ${formatNumber(maxVio)}, no assignment scores more than ${formatNumber(score)}${gap > 0 ? ` (the best is within ${formatNumber(gap)} of it)` : ""}.`,
    })),
  ].sort((a, b) => a.maxVio - b.maxVio);

  /** What the frontier proves to be possible: the bound at the next smaller capacity factor is too strict. */
  function missedText(maxVio: number, score: number): string {
    const bound = frontier.find((point) => point.maxVio >= maxVio - 1e-12);
    return bound === undefined
      ? ""
      : ` At most ${formatNumber(Math.max(0, bound.score - score))} below the best of its balance.`;
  }

  const mostX = Math.max(0.2, ...routers.map(({ maxVio }) => maxVio)) * 1.08;
  const inView = frontier.filter(({ maxVio }) => maxVio <= mostX);
  const scores = [...routers.map(({ score }) => score), ...inView.map(({ score }) => score)];
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const margin = 0.08 * (high - low || Math.abs(high) || 1);
  const [minY, maxY] = [low - margin, high + margin];
  const height = 300;
  const top = 24;
  const bottom = height - 36;
  return (
    <Chart
      id="frontier"
      title={`Score against balance, step ${frame.steps - 1}`}
      reading={`${definition(metrics, "score")} ${definition(metrics, "max_vio")} ${
        frontier.length === 0
          ? "“Prove” draws the frontier: the exact optimum of this batch at rising capacities, which no router can pass."
          : "The line is the proven frontier of this batch: no assignment of K experts per token lies above it. Left and up is better."
      }`}
      height={height}
      count={places.length}
      placeAt={(fraction) =>
        places.reduce(
          (best, { maxVio }, at) =>
            Math.abs(maxVio / mostX - fraction) < Math.abs(places[best].maxVio / mostX - fraction) ? at : best,
          0,
        )
      }
      describe={(place) => places[place].text}
      finding={routers
        .map(({ name, score, maxVio }) => `${name}: score ${formatNumber(score)}, MaxVio ${formatNumber(maxVio)}`)
        .join("; ")}
      draw={(width, place) => {
        const x = (value: number) => round(left + (value / mostX) * (width - left - right));
        const y = (value: number) => round(bottom - ((value - minY) / (maxY - minY)) * (bottom - top));
        // The bound holds up to its capacity, so it is a staircase from each point to the left.
        const stairs = inView.map(({ maxVio, score }, at) =>
          at === 0 ? `M${x(maxVio)} ${y(score)}` : `V${y(score)}H${x(maxVio)}`,
        );
        const next = frontier[inView.length];
        const end = `${next === undefined ? "" : `V${y(Math.min(maxY, next.score))}`}H${width - right}`;
        return (
          <>
            <Axis top={top} bottom={bottom} min={minY} max={maxY} width={width} />
            {ticks(0, mostX, width < 500 ? 4 : 8).map((value) => (
              <text key={value} x={x(value)} y={bottom + 16} text-anchor="middle">
                {formatNumber(value)}
              </text>
            ))}
            <text x={width - right} y={height - 4} text-anchor="end">
              MaxVio of the batch
            </text>
            {inView.length > 0 && (
              <path
                class="frontier"
                d={`${stairs.join("")}${end}`}
                fill="none"
                stroke="var(--text)"
                stroke-width={1.5}
              />
            )}
            {inView.map(({ maxVio, score }) => (
              <circle key={maxVio} cx={x(maxVio)} cy={y(score)} r={2.5} fill="var(--text)" />
            ))}
            {routers.map(({ name, index, maxVio, score }) => {
              // Routers in one place, such as top-k and what routes like it, share one label.
              const together = routers.filter((other) => other.maxVio === maxVio && other.score === score);
              const isRight = x(maxVio) > width - 120;
              return (
                <g key={name}>
                  <circle cx={x(maxVio)} cy={y(score)} r={6} fill={colorOf(index)} />
                  {together[0].index === index && (
                    <text
                      class="row-title"
                      x={x(maxVio) + (isRight ? -10 : 10)}
                      y={y(score) + (isRight ? -10 : 4)}
                      text-anchor={isRight ? "end" : "start"}
                      fill="var(--text)"
                    >
                      {together.map((one) => one.name).join(", ")}
                    </text>
                  )}
                </g>
              );
            })}
            {place !== null && (
              <circle
                cx={x(Math.min(mostX, places[place].maxVio))}
                cy={y(Math.min(maxY, places[place].score))}
                r={9}
                fill="none"
                stroke="var(--text)"
              />
            )}
          </>
        );
      }}
    />
  );
}

/** Saves a picture as it is, with the page's colours written out, which a file of its own lacks. */
function saveSvg(name: string, heading: string, svg: SVGSVGElement): void {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const style = getComputedStyle(document.documentElement);
  const colors = new Map<string, string>();
  const colorOfProperty = (property: string) => {
    if (!colors.has(property)) {
      // A custom property keeps its light-dark(); a colour that was computed has chosen.
      const probe = document.createElement("span");
      probe.style.color = `var(${property})`;
      document.body.append(probe);
      colors.set(property, getComputedStyle(probe).color);
      probe.remove();
    }
    return colors.get(property)!;
  };
  const muted = colorOfProperty("--muted-text");
  for (const element of copy.querySelectorAll("*")) {
    for (const attribute of ["fill", "stroke"]) {
      const property = /^var\((--[\w-]+)\)$/.exec(element.getAttribute(attribute) ?? "")?.[1];
      if (property !== undefined) element.setAttribute(attribute, colorOfProperty(property));
    }
    if (element.tagName === "text" && !element.hasAttribute("fill")) element.setAttribute("fill", muted);
  }
  for (const attribute of Array.from(copy.attributes)) {
    if (attribute.name.startsWith("aria-")) copy.removeAttribute(attribute.name);
  }
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("font-family", style.fontFamily);
  copy.setAttribute("font-size", "12");
  const background = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  background.setAttribute("width", "100%");
  background.setAttribute("height", "100%");
  background.setAttribute("fill", colorOfProperty("--background"));
  const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
  title.textContent = heading;
  copy.prepend(title, background);
  saveText(`${name}.svg`, new XMLSerializer().serializeToString(copy), "image/svg+xml");
}

/** Saves `text` as a file of that name, like a download link. */
export function saveText(name: string, text: string, type: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name.replace(/[/\\:*?"<>|]/g, "-");
  link.click();
  // Firefox reads it after the click.
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

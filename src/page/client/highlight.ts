import { legendsOf } from "../../core/pictures/parts/legend.ts";
import type { Picture } from "../../core/pictures/picture.ts";
import type { PageRouter } from "../page-data.ts";

/** The chosen routers, by their names in the pictures; null if none is chosen, so that all are shown alike. */
export type Chosen = ReadonlySet<string> | null;

/** The choice of routers that all pictures, legends and tables of a page share. */
export interface Highlight {
  readonly chosen: Chosen;
  /** Chooses only `routers`, or none if all of them are already chosen. */
  toggle(routers: readonly string[]): void;
  /** From now on shows in `element` whether its `routers` are chosen. A button also tells assistive technology. */
  follow(element: HTMLElement, routers: readonly string[]): void;
}

/** Creates an empty choice; Escape returns to it. Calls `onChange` after each change. */
export function createHighlight(onChange: () => void): Highlight {
  const followers: { element: HTMLElement; routers: readonly string[] }[] = [];
  let chosen: Chosen = null;
  const show = ({ element, routers }: (typeof followers)[number]) => {
    const { isChosen, isDimmed } = stateOf(routers, chosen);
    element.classList.toggle("chosen", isChosen);
    element.classList.toggle("dimmed", isDimmed);
    if (element instanceof HTMLButtonElement) element.setAttribute("aria-pressed", String(isChosen));
  };
  const choose = (next: Chosen) => {
    chosen = next;
    for (const follower of followers) show(follower);
    onChange();
  };
  document.addEventListener("keydown", ({ key }) => {
    // Escape first closes an open list.
    if (key === "Escape" && chosen !== null && document.querySelector(":popover-open") === null) choose(null);
  });
  return {
    get chosen() {
      return chosen;
    },
    toggle(routers) {
      if (routers.length > 0) choose(stateOf(routers, chosen).isChosen ? null : new Set(routers));
    },
    follow(element, routers) {
      const follower = { element, routers };
      followers.push(follower);
      show(follower);
    },
  };
}

/** Whether all of `routers` are chosen, and whether others are chosen and none of them is. */
export function stateOf(routers: readonly string[], chosen: Chosen): { isChosen: boolean; isDimmed: boolean } {
  if (chosen === null || routers.length === 0) return { isChosen: false, isDimmed: false };
  const count = routers.filter((router) => chosen.has(router)).length;
  return { isChosen: count === routers.length, isDimmed: count === 0 };
}

/** Returns the routers of the line `name` of `picture`; none if it is not a router's, such as the Pareto front. */
export function routersOfLine(picture: Picture, name: string, known: ReadonlySet<string>): readonly string[] {
  const joined = picture.variantsOfLines?.filter(([line]) => line === name).flatMap(([, variants]) => variants) ?? [];
  return joined.length > 0 ? joined : known.has(name) ? [name] : [];
}

/** Lists the routers beside the contents, each as a button that chooses it. */
export function listRouters(routers: readonly PageRouter[], list: HTMLElement, highlight: Highlight): void {
  for (const { name, color, dash } of routers.filter(({ isListed }) => isListed)) {
    const mark = color === null ? null : strokeMark(color, dash ?? "solid");
    list.append(entry(name, mark, [name], highlight));
  }
}

/** Makes the rows of `table` choose their routers: by a click, or by a button that replaces the name. */
export function makeRowsChoosable(table: HTMLTableElement, routers: readonly PageRouter[], highlight: Highlight): void {
  for (const row of table.tBodies[0].rows) {
    const names = [routers[Number(row.dataset.variant)].name];
    const label = row.cells[0].firstElementChild!;
    const button = document.createElement("button");
    button.type = "button";
    button.className = label.className;
    button.append(...label.childNodes);
    label.replaceWith(button);
    highlight.follow(row, names);
    highlight.follow(button, names);
    row.addEventListener("click", () => {
      // Selecting the text of a cell does not choose a router.
      if (getSelection()?.isCollapsed !== false) highlight.toggle(names);
    });
  }
}

/**
 * Returns the legend of `picture` as a list: routers as buttons that choose them, other lines as text. Null if it has
 * none.
 */
export function createLegend(picture: Picture, known: ReadonlySet<string>, highlight: Highlight): HTMLElement | null {
  const legends = legendsOf(picture);
  if (legends.length === 0) return null;
  const lists = legends.map(({ data }, panel) => {
    const list = document.createElement("ul");
    list.className = "legend";
    const [axis] = [picture.option.xAxis ?? []].flat().filter(({ gridIndex = 0 }) => gridIndex === panel);
    list.ariaLabel = `Legend of “${picture.title}”${legends.length > 1 ? `, ${axis?.name}` : ""}`;
    for (const { name } of data as { name: string }[]) {
      const routers = routersOfLine(picture, name, known);
      list.append(entry(name, markOf(picture, name), routers, highlight));
    }
    return list;
  });
  if (lists.length === 1) return lists[0];
  const all = document.createElement("div");
  all.append(...lists);
  return all;
}

function entry(name: string, mark: string | null, routers: readonly string[], highlight: Highlight): HTMLElement {
  const item = document.createElement("li");
  const element = document.createElement(routers.length === 0 ? "span" : "button");
  if (mark !== null) element.insertAdjacentHTML("beforeend", mark);
  const label = document.createElement("span");
  label.append(name);
  element.append(label);
  if (element instanceof HTMLButtonElement) {
    element.type = "button";
    highlight.follow(element, routers);
    element.addEventListener("click", () => highlight.toggle(routers));
  }
  item.append(element);
  return item;
}

/** Returns the stroke or the symbol of the line `name`, as markup. */
function markOf({ option }: Picture, name: string): string {
  const { color, lineStyle, symbol, type } = [option.series ?? []].flat().find((one) => one.name === name) as {
    color: string;
    lineStyle?: { type?: string };
    symbol?: string;
    type: string;
  };
  return type === "scatter" ? symbolMark(color, symbol ?? "circle") : strokeMark(color, lineStyle?.type ?? "solid");
}

const dashArrays: Readonly<Record<string, string>> = { solid: "none", dashed: "7 4", dotted: "2 3" };

function strokeMark(color: string, dash: string): string {
  const style = `stroke:${cssColor(color)};stroke-width:3;stroke-dasharray:${dashArrays[dash]}`;
  return `<svg width="26" height="12" aria-hidden="true"><path d="M0 6h26" style="${style}"/></svg>`;
}

const symbolPaths: Readonly<Record<string, string>> = {
  circle: "M1 6a5 5 0 1 0 10 0a5 5 0 1 0 -10 0",
  triangle: "M6 1L11 11H1Z",
  diamond: "M6 0L12 6L6 12L0 6Z",
  rect: "M1 1H11V11H1Z",
};

function symbolMark(color: string, symbol: string): string {
  return `<svg width="12" height="12" aria-hidden="true"><path d="${symbolPaths[symbol]}" style="fill:${cssColor(color)}"/></svg>`;
}

/** Returns the custom property of a picture's colour, which follows the theme: `@mutedText` is `--muted-text`. */
function cssColor(token: string): string {
  return `var(--${token.slice(1).replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)})`;
}

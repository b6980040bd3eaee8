import type { PageData } from "../page-data.ts";
import { createCharts, drawSvg } from "./charts.ts";
import { followReading, unfoldOnPaper } from "./contents.ts";
import { createHighlight, listRouters, makeRowsChoosable } from "./highlight.ts";
import { followLook } from "./look.ts";
import { followWidth } from "./scroll-hint.ts";
import { makeSortable } from "./sort-table.ts";

const { pictures, routers }: PageData = JSON.parse(document.getElementById("page-data")!.textContent);
const themeSwitch = document.getElementById("theme-switch") as HTMLButtonElement;

const look = followLook(themeSwitch, (changed) => {
  unfoldOnPaper(changed.isPrinting);
  charts.draw();
});
const highlight = createHighlight(() => charts.draw());
const known = new Set(routers.map(({ name }) => name));
const charts = createCharts(pictures, known, look, highlight);

for (const table of document.querySelectorAll("table")) {
  makeSortable(table);
  // The rows of a diagnosis are layers.
  if (routers.length > 0) makeRowsChoosable(table, routers, highlight);
}
for (const box of document.querySelectorAll<HTMLElement>(".scroll")) followWidth(box);
const routerList = document.querySelector<HTMLElement>("#router-list .legend");
if (routerList !== null) listRouters(routers, routerList, highlight);
followReading();

for (const button of document.querySelectorAll<HTMLElement>("[data-download]")) {
  const picture = pictures.find(({ id }) => id === button.dataset.download)!;
  button.addEventListener("click", () => downloadSvg(picture.id, drawSvg(picture, look().theme)));
}

/** Saves `svg` as a file named after the picture, like a download link. */
function downloadSvg(name: string, svg: string): void {
  const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${name}.svg`;
  link.click();
  URL.revokeObjectURL(url);
}

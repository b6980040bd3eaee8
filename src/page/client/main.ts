import type { Picture } from "../../core/pictures/picture.ts";
import { createCharts, drawSvg } from "./charts.ts";
import { downloadText } from "./download.ts";
import { followLook } from "./look.ts";
import { makeSortable } from "./sort-table.ts";

const pictures: readonly Picture[] = JSON.parse(document.getElementById("picture-data")!.textContent);
const themeSwitch = document.getElementById("theme-switch") as HTMLButtonElement;

const look = followLook(themeSwitch, (changed) => charts.setLook(changed));
const charts = createCharts(pictures, look());

for (const table of document.querySelectorAll("table")) makeSortable(table);

for (const button of document.querySelectorAll<HTMLElement>("[data-download]")) {
  const picture = pictures.find(({ id }) => id === button.dataset.download)!;
  button.addEventListener("click", () =>
    downloadText(`${picture.id}.svg`, "image/svg+xml", drawSvg(picture, look().theme)),
  );
}

import { dualRegretPicture } from "./dual-regret.ts";
import { idlePicture } from "./idle.ts";
import { maxVioPicture } from "./max-vio.ts";
import type { Picture, PictureMaker } from "./picture.ts";
import { regretPicture } from "./regret.ts";
import type { ReportData } from "./report-data.ts";

/** Every kind of picture, in the order of the report. */
const pictureMakers: readonly PictureMaker[] = [maxVioPicture, regretPicture, dualRegretPicture, idlePicture];

/** The pictures that the results have something to show in. */
export function drawPictures(data: ReportData): Picture[] {
  return pictureMakers.flatMap((draw) => draw(data) ?? []);
}

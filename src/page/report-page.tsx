import { existsSync } from "node:fs";
import path from "node:path";
import type { ReportData } from "../core/pictures/parts/report-data.ts";
import type { Picture } from "../core/pictures/picture.ts";
import { listed } from "../core/words.ts";
import type { Results } from "../node/files/results.ts";
import { weighSweep } from "../node/results/sweep-recommendation.ts";
import { FactsSection, factsId } from "./facts-section.tsx";
import { renderPage } from "./page.tsx";
import { PictureFigure } from "./picture-figure.tsx";
import { RecommendationSection, recommendationId } from "./recommendation-section.tsx";
import { runFacts } from "./run-facts.ts";
import { hasSeeds, SeedMeansSection, seedMeansId } from "./seed-means-section.tsx";
import { SummarySection, summaryId } from "./summary-section.tsx";

/** Of missing files, how many parts the list of them may have. */
const mostMissing = 6;

/**
 * The report on a folder of results as one HTML page: what was run, what is missing, what a sweep recommends that keeps the
 * mean MaxVio of a batch at `maxVioLimit`, the pictures, and all figures.
 */
export function renderReport(
  { results, variants }: ReportData,
  pictures: readonly Picture[],
  maxVioLimit = 0.5,
): string {
  const showsMeans = hasSeeds(variants);
  const weighed = results.runs.length === 1 ? null : weighSweep(results, maxVioLimit);
  const missing = missingFiles(results);
  return renderPage({
    title: results.name,
    description: results.description,
    contents: [
      { id: factsId, label: "What was run" },
      ...(weighed === null ? [] : [{ id: recommendationId, label: "Recommendation" }]),
      ...pictures.map(({ id, title }) => ({ id, label: title })),
      ...(showsMeans ? [{ id: seedMeansId, label: "Means over the seeds" }] : []),
      { id: summaryId, label: "Summary" },
    ],
    pictures,
    children: (
      <>
        <FactsSection facts={runFacts(results)} />
        {missing.length > 0 && (
          <p class="missing" role="note">
            Missing: {listed(missing, mostMissing)}. What they hold is left out of the pictures and the recommendation.
          </p>
        )}
        {weighed !== null && <RecommendationSection text={weighed.text} />}
        <section aria-labelledby="pictures">
          <h2 id="pictures">Pictures</h2>
          {pictures.length === 0 && (
            <p>There are none: pictures are drawn from steps.csv and loads.csv, which hold nothing to show.</p>
          )}
          {pictures.map((picture) => (
            <PictureFigure key={picture.id} picture={picture} />
          ))}
        </section>
        {showsMeans && <SeedMeansSection results={results} variants={variants} />}
        <SummarySection results={results} variants={variants} />
      </>
    ),
  });
}

/** The files of the runs that pictures and recommendations are made from, if they are not there. */
function missingFiles({ folder, runs }: Results): string[] {
  return runs.flatMap((run) =>
    ["steps.csv", "loads.csv", "run.json", ...(runs.length > 1 ? ["timing.csv"] : [])]
      .map((name) => path.join(run.folder, name))
      .filter((file) => !existsSync(file))
      .map((file) => path.relative(folder, file)),
  );
}

import type { Picture } from "../pictures/picture.ts";
import type { ReportData } from "../pictures/report-data.ts";
import { FactsSection, factsId } from "./facts-section.tsx";
import { renderPage } from "./page.tsx";
import { PictureFigure } from "./picture-figure.tsx";
import { runFacts } from "./run-facts.ts";
import { hasSeeds, SeedMeansSection, seedMeansId } from "./seed-means-section.tsx";
import { SummarySection, summaryId } from "./summary-section.tsx";

/** The report on a folder of results as one HTML page: what was run, the pictures of it, and all figures. */
export function renderReport({ results, variants }: ReportData, pictures: readonly Picture[]): string {
  const showsMeans = hasSeeds(variants);
  return renderPage({
    title: results.name,
    description: results.description,
    contents: [
      { id: factsId, label: "What was run" },
      ...pictures.map(({ id, title }) => ({ id, label: title })),
      ...(showsMeans ? [{ id: seedMeansId, label: "Means over the seeds" }] : []),
      { id: summaryId, label: "Summary" },
    ],
    pictures,
    children: (
      <>
        <FactsSection facts={runFacts(results)} />
        <section aria-labelledby="pictures">
          <h2 id="pictures">Pictures</h2>
          {pictures.length === 0 && (
            <p>There are none: the folder holds nothing but a summary, and pictures are drawn from steps.csv.</p>
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

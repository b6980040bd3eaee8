import type { ReportData } from "../core/pictures/parts/report-data.ts";
import { drawnName } from "../core/pictures/parts/text.ts";
import { variantColor, variantDash } from "../core/pictures/parts/theme.ts";
import type { Picture } from "../core/pictures/picture.ts";
import { type RecommendationText, weighSweep } from "../core/results/recommendation.ts";
import type { Results } from "../core/results/results.ts";
import { verdictOf, verdictSentences } from "../core/results/verdict.ts";
import { listed } from "../core/words.ts";
import { Command, renderPage, VerdictSection, verdictId } from "./page.tsx";
import { PictureFigure } from "./picture-figure.tsx";
import { FactsSection, factsId } from "./run-facts.tsx";
import { FiguresSection, figuresId, SummarySection, summaryId } from "./summary-sections.tsx";

const recommendationId = "recommendation";

/** Maximum number of parts in the list of missing files. */
const mostMissing = 6;

/**
 * The report on a folder of results as one HTML page: first the verdict, then the sweep's recommendation with the mean
 * MaxVio of a batch at most `maxVioLimit`, the summary, the pictures, all figures, and what was run, with `exploreLink` if given.
 */
export function renderReport(
  { results, variants }: ReportData,
  pictures: readonly Picture[],
  maxVioLimit = 0.5,
  exploreLink: string | null = null,
): string {
  const isSweep = results.runs.length > 1;
  const weighed = isSweep ? weighSweep(results, maxVioLimit) : null;
  const verdict = verdictOf(results, variants);
  const missing = missingFiles(results);
  return renderPage({
    title: results.name,
    description: results.description,
    contents: [
      ...(verdict === null ? [] : [{ id: verdictId, label: "Verdict" }]),
      ...(weighed === null ? [] : [{ id: recommendationId, label: "Recommendation" }]),
      { id: summaryId, label: "Summary" },
      ...pictures.map(({ id, title }) => ({ id, label: title })),
      { id: figuresId, label: "All figures" },
      { id: factsId, label: "What was run" },
    ],
    pictures,
    routers: variants
      .toSorted((a, b) => a.position - b.position)
      .map(({ name, isFeatured }, position) => ({
        name: drawnName(name),
        isListed: isFeatured,
        color: variantColor(position),
        dash: variantDash(position),
      })),
    children: (
      <>
        {verdict !== null && <VerdictSection sentences={verdictSentences(verdict, isSweep)} />}
        {missing.length > 0 && (
          <p class="missing" role="note">
            Missing: {listed(missing, mostMissing)}. What they hold is left out of the pictures and the recommendation.
          </p>
        )}
        {weighed !== null && <RecommendationSection text={weighed.text} />}
        <SummarySection results={results} variants={variants} />
        <section aria-labelledby="pictures">
          <h2 id="pictures">Pictures</h2>
          {pictures.length === 0 && (
            <p>There are no pictures: they are drawn from steps.csv and loads.csv, which contain nothing to show.</p>
          )}
          {pictures.map((picture) => (
            <PictureFigure key={picture.id} picture={picture} />
          ))}
        </section>
        <FiguresSection results={results} variants={variants} />
        <FactsSection results={results} exploreLink={exploreLink} />
      </>
    ),
  });
}

/** A sweep's recommendation: the variant to take, the command that runs it again, and the Pareto-best variants. */
function RecommendationSection({ text }: { text: RecommendationText }) {
  return (
    <section aria-labelledby={recommendationId}>
      <h2 id={recommendationId}>Recommendation</h2>
      <p>{text.choiceTitle}</p>
      <ul>
        <li>{text.choice}</li>
      </ul>
      <Command text={text.command} />
      <p>{text.frontTitle}</p>
      {text.front.length > 0 && (
        <ul>
          {text.front.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
      {text.warning !== null && <p class="muted">{text.warning}</p>}
    </section>
  );
}

/** Missing files of the runs that pictures and recommendations need. */
function missingFiles({ runs }: Results): string[] {
  const names = ["steps.csv", "loads.csv", "run.json", ...(runs.length > 1 ? ["timing.csv"] : [])];
  return runs.flatMap(({ files }) => files.missing(names));
}

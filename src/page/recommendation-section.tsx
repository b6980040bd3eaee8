import type { RecommendationText } from "../core/results/recommendation-text.ts";

export const recommendationId = "recommendation";

/** What a sweep recommends: the Pareto-best variants, the one to take, and the command that runs it again. */
export function RecommendationSection({ text }: { text: RecommendationText }) {
  return (
    <section aria-labelledby={recommendationId}>
      <h2 id={recommendationId}>Recommendation</h2>
      <p>{text.choiceTitle}</p>
      <ul>
        <li>{text.choice}</li>
      </ul>
      <pre class="command">
        <code>{text.command}</code>
      </pre>
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

import type { Fact } from "./run-facts.ts";

export const factsId = "what-was-run";

/** What was run, in words and figures. */
export function FactsSection({ facts }: { facts: readonly Fact[] }) {
  return (
    <section aria-labelledby={factsId}>
      <h2 id={factsId}>What was run</h2>
      <dl class="facts">
        {facts.map(({ name, value }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

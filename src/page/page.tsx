import { type ComponentChildren, Fragment } from "preact";
import { renderToString } from "preact-render-to-string";
import { version } from "../core/version.ts";
import { contentSecurityPolicy, type PageAssets, pageAssets } from "./page-assets.ts";
import { embeddedJson, type PageData } from "./page-data.ts";
import { Raw } from "./raw.tsx";

/** An entry in the table of contents. */
export interface ContentsEntry {
  /** `id` of the section's element. */
  readonly id: string;
  readonly label: string;
}

export interface PageProps extends PageData {
  readonly title: string;
  /** A sentence below the title; may be empty. */
  readonly description: string;
  readonly contents: readonly ContentsEntry[];
  readonly children: ComponentChildren;
}

const contentsId = "contents-list";
const routersId = "router-list";
export const verdictId = "verdict";

/** The verdict, with a large first sentence. */
export function VerdictSection({ sentences: [first, ...others] }: { sentences: readonly string[] }) {
  return (
    <section class="answer" aria-labelledby={verdictId}>
      <h2 id={verdictId}>Verdict</h2>
      <p class="verdict">{first}</p>
      {others.map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
    </section>
  );
}

/** A command line that breaks only between words, if they fit. */
export function Command({ text }: { text: string }) {
  return (
    <pre class="command">
      <code>
        {text.split(" ").map((word, i) => (
          <Fragment key={i}>
            {i > 0 && " "}
            <span>{word}</span>
          </Fragment>
        ))}
      </code>
    </pre>
  );
}

/**
 * Returns a whole page as HTML: one file that needs no other files and no network. All text in it is escaped. The
 * children contain a {@link PictureFigure} for each picture.
 */
export function renderPage(props: PageProps): string {
  return `<!doctype html>\n${renderToString(<Page {...props} assets={pageAssets()} />)}\n`;
}

/**
 * The frame of every page: head, title, theme switch, contents and routers, and the script with its data. Contents and
 * routers stay visible: beside the content on a wide screen, otherwise in a bar that opens them.
 */
function Page({
  title,
  description,
  contents,
  pictures,
  routers,
  children,
  assets,
}: PageProps & { assets: PageAssets }) {
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content={contentSecurityPolicy(assets.script)} />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="generator" content={`moesim ${version}`} />
        <title>{title}</title>
        <Raw tag="style" text={assets.styles} />
      </head>
      <body>
        <a class="skip" href="#main">
          Skip to the content
        </a>
        <header>
          <div class="title">
            <h1>{title}</h1>
            <button type="button" id="theme-switch" class="needs-script" aria-pressed="false">
              Dark theme
            </button>
          </div>
          {description !== "" && <p class="description">{description}</p>}
        </header>
        <div class="side">
          <div class="bar">
            <button type="button" popovertarget={contentsId}>
              Contents
            </button>
            <span class="here" aria-hidden="true" />
            {routers.length > 1 && (
              <button type="button" class="needs-script" popovertarget={routersId}>
                Routers
              </button>
            )}
          </div>
          <nav id={contentsId} popover="auto" aria-label="Contents">
            <ul>
              {contents.map(({ id, label }) => (
                <li key={id}>
                  <a href={`#${id}`}>{label}</a>
                </li>
              ))}
            </ul>
          </nav>
          {routers.length > 1 && (
            <section id={routersId} class="needs-script" popover="auto" aria-label="Routers">
              <p class="muted">Highlight in all pictures and tables (Esc shows all):</p>
              <ul class="legend" />
            </section>
          )}
        </div>
        <main id="main" tabIndex={-1}>
          {children}
        </main>
        <footer>Made by moesim {version}.</footer>
        <Raw
          tag="script"
          type="application/json"
          id="page-data"
          text={embeddedJson({ pictures, routers } satisfies PageData)}
        />
        <Raw tag="script" text={assets.script} />
      </body>
    </html>
  );
}

import type { ComponentChildren } from "preact";
import { renderToString } from "preact-render-to-string";
import type { Picture } from "../core/pictures/picture.ts";
import { version } from "../version.ts";
import { embeddedJson } from "./embedded-json.ts";
import { contentSecurityPolicy, type PageAssets, pageAssets } from "./page-assets.ts";
import { Raw } from "./raw.tsx";

/** An entry of the table of contents. */
export interface ContentsEntry {
  /** Of the section's element. */
  readonly id: string;
  readonly label: string;
}

export interface PageProps {
  readonly title: string;
  /** A sentence below the title; may be empty. */
  readonly description: string;
  readonly contents: readonly ContentsEntry[];
  /** Those that the children have a {@link PictureFigure} of. */
  readonly pictures: readonly Picture[];
  readonly children: ComponentChildren;
}

/** A whole page as HTML: one file that needs no other, and no network. All text in it is escaped. */
export function renderPage(props: PageProps): string {
  return `<!doctype html>\n${renderToString(<Page {...props} assets={pageAssets()} />)}\n`;
}

/** The frame of every page: head, title, contents, theme switch, and the script with the pictures' data. */
function Page({ title, description, contents, pictures, children, assets }: PageProps & { assets: PageAssets }) {
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
          <nav aria-label="Contents">
            <ul>
              {contents.map(({ id, label }) => (
                <li key={id}>
                  <a href={`#${id}`}>{label}</a>
                </li>
              ))}
            </ul>
          </nav>
        </header>
        <main id="main" tabIndex={-1}>
          {children}
        </main>
        <footer>Made by moesim {version}.</footer>
        <Raw tag="script" type="application/json" id="picture-data" text={embeddedJson(pictures)} />
        <Raw tag="script" text={assets.script} />
      </body>
    </html>
  );
}

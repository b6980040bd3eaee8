import { Fragment } from "preact";
import { variantColor, variantDash } from "../core/pictures/parts/theme.ts";

export interface DataColumn {
  readonly name: string;
  /** Tooltip of the header; empty for none. */
  readonly title: string;
  /** Numbers are aligned to the right. */
  readonly isNumeric: boolean;
  /** The other columns are hidden until the reader asks for all. */
  readonly isMain: boolean;
}

export interface DataCell {
  readonly text: string;
  /** Sort key of the cell, if it is not the text. */
  readonly sortKey?: number;
}

export interface DataRow {
  readonly heading: string;
  /** Position of its router among those of the page, by which the page's script highlights it; absent if it has none. */
  readonly variant?: number;
  /** Whether it shows the stroke of its lines in the pictures; false if pictures draw folders and not routers. */
  readonly hasSwatch: boolean;
  /** One cell per column. */
  readonly cells: readonly DataCell[];
}

export interface DataTableProps {
  readonly id: string;
  /** Names the table for readers who do not see its heading. */
  readonly label: string;
  /** Header of the column of row headings. */
  readonly headingName: string;
  readonly columns: readonly DataColumn[];
  readonly rows: readonly DataRow[];
}

/** A table that the page's script sorts by the column whose header is clicked. Wide tables scroll within the page, and say so. */
export function DataTable({ id, label, headingName, columns, rows }: DataTableProps) {
  const hasMore = columns.some(({ isMain }) => !isMain);
  return (
    <div class="data">
      {hasMore && (
        <label class="all-columns">
          <input type="checkbox" /> All columns
        </label>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section class="scroll" aria-label={`${label}, table`} tabIndex={0}>
        <table id={id} aria-label={label}>
          <thead>
            <tr>
              <Header name={headingName} title="" isNumeric={false} isMain={true} />
              {columns.map((column) => (
                <Header key={column.name} {...column} />
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ heading, variant, hasSwatch, cells }, row) => (
              <tr key={row} data-variant={variant}>
                <th scope="row">
                  <div class="router">
                    {hasSwatch && variant !== undefined && <Swatch position={variant} />}
                    <span>{heading}</span>
                  </div>
                </th>
                {cells.map(({ text, sortKey }, i) => (
                  <td key={columns[i].name} class={classOf(columns[i])} data-sort-key={sortKey}>
                    {text}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <p class="scroll-hint" hidden>
        Scroll the table sideways for more columns.
      </p>
    </div>
  );
}

function Header(column: DataColumn) {
  return (
    <th scope="col" class={classOf(column)}>
      <button type="button" title={column.title === "" ? undefined : column.title}>
        <BreakableName name={column.name} />
      </button>
    </th>
  );
}

/** Name of a column, which may break after its underscores. */
function BreakableName({ name }: { name: string }) {
  const pieces = name.split(/(?<=_)/);
  return pieces.map((piece, i) => (
    <Fragment key={piece}>
      {i > 0 && <wbr />}
      {piece}
    </Fragment>
  ));
}

/** A stroke drawn like the variant's lines in the pictures. */
function Swatch({ position }: { position: number }) {
  const color = `var(--${variantColor(position).slice(1)})`;
  return <span class="swatch" style={{ borderTop: `3px ${variantDash(position)} ${color}` }} aria-hidden="true" />;
}

function classOf({ isNumeric, isMain }: DataColumn): string | undefined {
  const classes = [...(isNumeric ? ["numeric"] : []), ...(isMain ? [] : ["more"])];
  return classes.length === 0 ? undefined : classes.join(" ");
}

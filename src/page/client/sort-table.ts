type Direction = "ascending" | "descending";

/**
 * Makes the header buttons of `table` sort its rows by their columns, first ascending, then descending: by number if
 * all cells are numbers, otherwise by text. Empty cells always come last, and equal cells keep their order.
 */
export function makeSortable(table: HTMLTableElement): void {
  const headers = Array.from(table.tHead!.rows[0].cells);
  const body = table.tBodies[0];
  for (const [column, header] of headers.entries()) {
    header.querySelector("button")?.addEventListener("click", () => {
      const direction: Direction = header.ariaSort === "ascending" ? "descending" : "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", direction);
      body.append(...sortedRows(Array.from(body.rows), column, direction));
    });
  }
}

function sortedRows(rows: readonly HTMLTableRowElement[], column: number, direction: Direction): HTMLTableRowElement[] {
  const keyed = rows.map((row) => ({ row, key: keyOf(row.cells[column]) }));
  const filled = keyed.filter(({ key }) => key !== "");
  const isNumeric = filled.every(({ key }) => Number.isFinite(Number(key)));
  const sign = direction === "ascending" ? 1 : -1;
  filled.sort((a, b) => sign * (isNumeric ? Number(a.key) - Number(b.key) : a.key.localeCompare(b.key)));
  return [...filled, ...keyed.filter(({ key }) => key === "")].map(({ row }) => row);
}

function keyOf(cell: HTMLTableCellElement): string {
  return cell.dataset.sortKey ?? cell.textContent.trim();
}

import path from "node:path";
import { descending, sum } from "d3-array";
import { formatNumber, printable } from "../../core/results/format.ts";
import { numberIn } from "../../core/results/results.ts";
import type { ResultCheck } from "../../node/check/check-results.ts";
import { columnOf, countsOf, type Finding, type RouterFindings, verdicts, worstOf } from "../../node/check/findings.ts";
import {
  formatBound,
  formatEntry,
  type GateEntry,
  type GateResult,
  type GateRow,
  reasonOf,
  type UnjudgedRow,
} from "../../node/check/gate.ts";
import { shortNumber, type Tolerances } from "../../node/check/tolerances.ts";
import { columnsWithin, formatTable } from "./table.ts";

const mostRows = 20;
const mostRests = 10;
/** Maximum number of findings in JSON. */
const mostListed = 1000;
/** GitHub shows at most this many errors, and as many notices, of one step. */
const mostAnnotations = 10;
const wholeNumber = new Intl.NumberFormat("en-US");

/**
 * Formats the check for the terminal: the worst findings, how many more there are, the gate, notes, and finally the verdict. If
 * the table does not fit into `width` characters, it leaves out the allowed changes first, and then the changes.
 */
export function formatCheck(check: ResultCheck, tolerances: Tolerances, width = Number.POSITIVE_INFINITY): string {
  const tables = [formatFindings(check.parts, width), formatGate(check)].filter((table) => table !== "");
  const notes = check.notes.map((note) => `note: ${note}\n`);
  return `${tables.map((table) => `${table}\n\n`).join("")}${notes.join("")}${formatVerdict(check, tolerances)}\n`;
}

/** Says in one line whether the check passed, how many values have each verdict, and how many gate entries are kept. */
export function formatVerdict({ passed, parts, gate, notJudged }: ResultCheck, tolerances: Tolerances): string {
  const texts: string[] = [];
  if (parts.length > 0) {
    const own = Array.from(tolerances.byColumn, ([column, { text }]) => `, ${column} ${text}`);
    texts.push(`${countsText(parts)} (tolerance ${tolerances.overall.text}${own.join("")})`);
  }
  if (gate.length + notJudged.length > 0) {
    const kept = gate.filter((result) => result.passed).length;
    const others = notJudged.length === 0 ? "" : `, ${wholeNumber.format(notJudged.length)} not judged`;
    texts.push(`gate: ${wholeNumber.format(kept)} kept, ${wholeNumber.format(gate.length - kept)} broken${others}`);
  }
  return `${passed ? "passed" : "failed"}: ${texts.join("; ")}`;
}

/** `1 worse, 12 same`, the worst first. */
function countsText(parts: readonly RouterFindings[]): string {
  const counts = countsOf(parts);
  return Array.from(counts, ([verdict, count]) => `${wholeNumber.format(count)} ${verdict}`).join(", ");
}

/** Formats the worst findings of `parts`, and how many more there are by file and column; empty if there are none. */
function formatFindings(parts: readonly RouterFindings[], width = Number.POSITIVE_INFINITY): string {
  const shown = worstOf(parts, mostRows);
  return shown.length === 0 ? "" : [formatWorst(shown, width), ...restLines(parts, shown)].join("\n");
}

/** Formats the finding in one line: `worse: seed 1, step 12, max_vio: 0.5 → 0.7 (change +0.2, allowed 1e-6)`. */
function formatFinding(finding: Finding): string {
  const { verdict, row, change, allowed } = finding;
  const place = Object.entries(row).filter(([name]) => name !== "scenario");
  const where = [...place.map(([name, value]) => `${printable(name)} ${printable(value)}`), whatOf(finding)].join(", ");
  if (finding.kind !== "value") return `${verdict}: ${where}`;
  const [before, after] = textsOf(finding);
  const figures = change === null ? "" : ` (change ${changeText(finding)}, allowed ${shortNumber(allowed!)})`;
  return `${verdict}: ${where}: ${before} → ${after}${figures}`;
}

function formatWorst(shown: readonly Finding[], width: number): string {
  const names = Array.from(new Set(shown.flatMap(({ row }) => Object.keys(row))));
  // A scenario's name that all rows share would only make the table wider.
  const keys = names.filter((name) => name !== "scenario" || new Set(shown.map(({ row }) => row[name])).size > 1);
  const texts = shown.map(textsOf);
  const text = (header: string, cells: readonly string[]) => ({ header, cells, rank: 0, isNumber: false });
  // On a narrow terminal the column of the highest rank is left out first.
  const number = (header: string, cells: readonly string[], rank = 0) => ({
    header,
    cells: cells.map((cell) => (cell === "" ? "–" : cell)),
    rank,
    isNumber: true,
  });
  const columnsOf = (header: string, value: (finding: Finding) => string) => text(header, shown.map(value));
  const columns = [
    columnsOf("verdict", ({ verdict }) => verdict),
    columnsOf("file", ({ file }) => file),
    columnsOf("router", ({ router }) => printable(router ?? "")),
    ...keys.map((name) => columnsOf(printable(name), ({ row }) => printable(row[name] ?? ""))),
    columnsOf("column", whatOf),
    number(
      "baseline",
      texts.map(([before]) => before),
    ),
    number(
      "now",
      texts.map(([, after]) => after),
    ),
    number("change", shown.map(changeText), 1),
    number(
      "allowed",
      shown.map(({ allowed }) => (allowed === null ? "" : shortNumber(allowed))),
      2,
    ),
  ];
  const kept = columnsWithin(
    width,
    columns.map(({ header }) => header),
    shown.map((_, row) => columns.map(({ cells }) => cells[row])),
    columns.map(({ rank }) => rank),
  ).map((position) => columns[position]);
  return formatTable(
    kept.map(({ header }) => header),
    shown.map((_, row) => kept.map(({ cells }) => cells[row])),
    { alignRight: kept.map(({ isNumber }) => isNumber) },
  );
}

/** Lists how many findings `shown` leaves out, by file, column and verdict. */
function restLines(parts: readonly RouterFindings[], shown: readonly Finding[]): string[] {
  const rests = new Map<string, number>();
  const add = (file: string, column: string, verdict: string, count: number) => {
    const key = `${file}, ${printable(column)}: ${verdict}`;
    rests.set(key, (rests.get(key) ?? 0) + count);
  };
  for (const { file, byColumn } of parts) {
    for (const [column, counts] of byColumn) for (const [verdict, count] of counts) add(file, column, verdict, count);
  }
  for (const finding of shown) add(finding.file, columnOf(finding), finding.verdict, -1);
  const sorted = Array.from(rests)
    .filter(([, count]) => count > 0)
    .sort((a, b) => descending(a[1], b[1]));
  if (sorted.length === 0) return [];
  const hidden = sorted.slice(mostRests);
  const total = (entries: readonly (readonly [string, number])[]) =>
    wholeNumber.format(sum(entries, ([, count]) => count));
  return [
    "",
    `and ${total(sorted)} more:`,
    ...sorted.slice(0, mostRests).map(([what, count]) => `  ${what} ${wholeNumber.format(count)}`),
    ...(hidden.length === 0 ? [] : [`  other files and columns: ${total(hidden)}`]),
  ];
}

/** Formats the gate as a table: broken entries first, then rows that are not judged; empty without a gate. */
function formatGate({ gate, notJudged }: Pick<ResultCheck, "gate" | "notJudged">): string {
  const rowsOf = (isPassed: boolean) =>
    gate
      .filter(({ passed }) => passed === isPassed)
      .map(({ entry, router, row, value, baseline, allowed, passed }) => {
        const verdict = passed ? "kept" : "broken";
        return { verdict, entry, router, row, value, baseline, bound: boundText(entry, allowed) };
      });
  const unjudged = notJudged.map((one) => {
    const { entry, router, row } = one;
    return { verdict: "not judged", entry, router, row, value: null, baseline: null, bound: reasonOf(one) };
  });
  const sorted = [...rowsOf(false), ...unjudged, ...rowsOf(true)];
  if (sorted.length === 0) return "";
  const shown = sorted.slice(0, mostRows);
  const names = Array.from(new Set(shown.flatMap(({ row }) => Object.keys(row)))).filter((name) => name !== "scenario");
  const header = ["gate", "router", ...names.map(printable), "metric", "baseline", "now", "allowed"];
  const table = formatTable(
    header,
    shown.map(({ verdict, entry, router, row, value, baseline, bound }) => [
      verdict,
      printable(router),
      ...names.map((name) => printable(row[name] ?? "")),
      entry.metric,
      baseline,
      value,
      bound,
    ]),
    { alignRight: header.map((title) => ["baseline", "now"].includes(title)) },
  );
  const more = sorted.length - shown.length;
  return more === 0 ? table : `${table}\n\nand ${wholeNumber.format(more)} more`;
}

/** `max 0.5`, `worse-by 5% = 0.011`. */
function boundText(entry: GateEntry, allowed: number): string {
  const { bound } = entry;
  const isRelative = bound.kind === "worse-by" && bound.tolerance.unit !== "absolute";
  return isRelative ? `${formatBound(entry)} = ${shortNumber(allowed)}` : formatBound(entry);
}

/** Formats a gate's result in one line. */
function formatGateResult({ entry, router, row, value, baseline, allowed, passed }: GateResult): string {
  const where = whereOf({ router, row });
  const from = baseline === null ? "" : `${formatNumber(baseline)} → `;
  return `${passed ? "kept" : "broken"}: ${where}: ${entry.metric} ${from}${formatNumber(value)}, allowed: ${boundText(entry, allowed)}`;
}

/** Formats a row that is not judged in one line. */
function formatUnjudged(one: UnjudgedRow): string {
  return `not judged: ${reasonOf(one)}: ${whereOf(one)}: ${one.entry.metric}, allowed: ${formatBound(one.entry)}`;
}

/** Identifies a row by its router and further keys: `ssr, layer 3`. */
function whereOf({ router, row }: GateRow): string {
  const place = Object.entries(row).filter(([name]) => name !== "scenario");
  return [printable(router), ...place.map(([name, text]) => `${printable(name)} ${printable(text)}`)].join(", ");
}

function whatOf({ kind, column }: Finding): string {
  if (kind === "value") return printable(column!);
  return column === null ? `(${kind})` : `(${kind}) ${printable(column)}`;
}

/** Formats both cells; numbers get enough digits to differ. */
function textsOf({ kind, baseline, now }: Finding): [string, string] {
  if (kind !== "value") return ["", ""];
  const [before, after] = [numberIn(baseline!), numberIn(now!)];
  if (before === null || after === null) return [printable(baseline!) || "(empty)", printable(now!) || "(empty)"];
  const fewestDigits = 4;
  const mostDigits = 17;
  for (let digits = fewestDigits; digits < mostDigits; digits++) {
    const texts = [before, after].map((value) => String(Number(value.toPrecision(digits))));
    if (texts[0] !== texts[1]) return [texts[0], texts[1]];
  }
  return [String(before), String(after)];
}

/** Formats a change: `+0.043 (+19.5 %)`, without the percentage if the baseline is 0, and empty if a value is not a number. */
function changeText({ change, baseline }: Finding): string {
  if (change === null) return "";
  const sign = change > 0 ? "+" : "";
  const before = Math.abs(Number(baseline));
  const percent = before === 0 ? "" : ` (${sign}${Number(((100 * change) / before).toPrecision(3))} %)`;
  return `${sign}${formatNumber(change)}${percent}`;
}

/**
 * Returns the check as data for scripts. `counts` counts all values by verdict. `findings` lists the worst, at most 1000 and at
 * most 100 per router and file, with numbers if the cells hold numbers. `gate` lists every row that a gate entry judges, and
 * `notJudged` those that it cannot judge, each with its reason.
 */
export function checkAsJson({ passed, parts, gate, notJudged, notes }: ResultCheck): object {
  const value = (text: string | null) => (text === null ? null : (numberIn(text) ?? text));
  const counts = countsOf(parts);
  return {
    passed,
    counts: Object.fromEntries(verdicts.map((verdict) => [verdict, counts.get(verdict) ?? 0])),
    findings: worstOf(parts, mostListed).map((finding) => ({
      ...finding,
      baseline: value(finding.baseline),
      now: value(finding.now),
    })),
    gate: gate.map(({ entry, ...result }) => ({
      entry: entry.position,
      metric: entry.metric,
      bound: entry.bound.kind,
      ...result,
    })),
    notJudged: notJudged.map((one) => ({
      entry: one.entry.position,
      metric: one.entry.metric,
      bound: one.entry.bound.kind,
      router: one.router,
      row: one.row,
      lackedBy: one.lackedBy,
      reason: reasonOf(one),
    })),
    notes,
  };
}

/**
 * Returns the check as a JUnit XML report for CI systems: a test case for each router in each file, one for a file that is
 * missing or lacks a column, and one for each row that a gate entry matches. Rows that it cannot judge are skipped.
 */
export async function checkAsJunit({ parts, gate, notJudged }: ResultCheck): Promise<string> {
  const { default: junit } = await import("junit-report-builder");
  // The types promise a default export, but the module is the builder itself.
  const builder = (junit as unknown as typeof junit.default).newBuilder();
  const suite = builder.testSuite().name("moesim check");
  // The builder escapes only the first end of a CDATA section.
  const guarded = (text: string) => text.replaceAll("]]>", "]] >");
  for (const part of parts) {
    const name = part.router === null ? "the file itself" : printable(part.router);
    const test = suite.testCase().className(part.file).name(name);
    const findings = guarded(formatFindings([part]));
    if (part.failing > 0) test.failure(countsText([part]), "comparison").stacktrace(findings);
    else if (findings !== "") test.standardOutput(findings);
  }
  const gateCase = (one: GateResult | UnjudgedRow) =>
    suite
      .testCase()
      .className("gate")
      .name(`${whereOf(one)}: ${one.entry.metric}: ${formatBound(one.entry)}`);
  for (const result of gate) {
    const test = gateCase(result);
    if (!result.passed) test.failure(formatGateResult(result), "gate");
  }
  for (const one of notJudged) gateCase(one).skipped().standardOutput(formatUnjudged(one));
  return builder.build();
}

/** A remark that GitHub shows at a file: an error if the check fails because of it. */
export interface Annotation {
  readonly level: "error" | "notice";
  readonly title: string;
  readonly message: string;
  readonly file: string;
}

/**
 * Returns at most ten errors and ten notices. Errors are those of the gate first, then one for each router in each file with
 * failing findings; notices are rows that the gate cannot judge first, then routers with other findings.
 */
export function annotationsOf(
  { parts, gate, notJudged }: ResultCheck,
  baseline: string | null,
  gateFile: string | null,
): Annotation[] {
  const ofGate = gate
    .filter(({ passed }) => !passed)
    .map((result): Annotation => {
      const title = `gate: ${formatEntry(result.entry)}`;
      return { level: "error", title, message: formatGateResult(result), file: gateFile ?? "" };
    });
  const unjudged = notJudged.map((one): Annotation => {
    const title = `gate: ${formatEntry(one.entry)}`;
    return { level: "notice", title, message: formatUnjudged(one), file: gateFile ?? "" };
  });
  const ofParts = parts
    .filter(({ worst }) => worst.length > 0)
    .toSorted((a, b) => descending(a.failing, b.failing))
    .map((part): Annotation => {
      const { file, router, worst, failing } = part;
      const others = worst.length === 1 ? "" : `${countsText([part])}; `;
      return {
        level: failing > 0 ? "error" : "notice",
        title: router === null ? file : `${file}: ${printable(router)}`,
        message: `${others}${formatFinding(worst[0])}`,
        file: path.join(baseline ?? "", file),
      };
    });
  const all = [...ofGate, ...unjudged, ...ofParts];
  return (["error", "notice"] as const).flatMap((level) =>
    all.filter((annotation) => annotation.level === level).slice(0, mostAnnotations),
  );
}

/**
 * Returns the workflow command, one line, that shows `annotation` in GitHub Actions. It escapes what the runner unescapes: `%` and
 * line ends everywhere, and also `:` and `,` in properties.
 */
export function formatAnnotation({ level, title, message, file }: Annotation): string {
  const properties = Object.entries({ title, file })
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `${name}=${escapeMessage(value).replaceAll(":", "%3A").replaceAll(",", "%2C")}`);
  return `::${level} ${properties.join(",")}::${escapeMessage(message)}\n`;
}

function escapeMessage(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

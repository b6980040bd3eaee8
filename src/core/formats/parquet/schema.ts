import {
  type ColumnChunk,
  type ColumnMetaData,
  type FileMetaData,
  parquetSchema,
  type SchemaElement,
  type SchemaTree,
} from "hyparquet";
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from "hyparquet/src/schema.js";
import { InputError } from "../../input-error.ts";
import { quoteName } from "../messages.ts";

/** A column of numbers as stored: one value per row, a list of them, or a list of lists. */
export interface NumberColumn {
  readonly name: string;
  /** `float32`, `int64`, … */
  readonly dtype: string;
  readonly kind: "float" | "integer";
  readonly isList: boolean;
  /** 0 for one value per row, 1 for a list, 2 for a list of lists. */
  readonly depth: 0 | 1 | 2;
  /** The level at which a value exists; below it the value, the list or the row is null or empty. */
  readonly maxDefinitionLevel: number;
  readonly element: SchemaElement;
  /** From the root to the leaf. */
  readonly schemaPath: SchemaTree[];
  /** The column's part of each row group, in file order. */
  readonly chunks: readonly ColumnMetaData[];
}

/** Maximum levels of nested columns. A list takes three. */
const maxSchemaDepth = 16;

/**
 * Throws `Error` if the schema nests too deeply for the recursion of `parquetSchema`, or promises more elements than it
 * has. Elements are in depth-first order, each with its number of children.
 */
export function checkSchemaSize(schema: readonly SchemaElement[]): void {
  const open: number[] = [1];
  for (const { num_children: children = 0 } of schema) {
    while (open.length > 0 && open[open.length - 1] === 0) open.pop();
    if (open.length === 0) throw new Error("its schema has elements without a parent");
    open[open.length - 1] -= 1;
    if (children < 0 || children > schema.length) throw new Error(`its schema promises ${children} columns in one`);
    if (children > 0) open.push(children);
    if (open.length > maxSchemaDepth) throw new Error(`its schema nests more than ${maxSchemaDepth} levels deep`);
  }
  if (schema.length === 0 || open.some((left) => left > 0)) throw new Error("its schema lacks elements");
}

/** Returns the columns of numbers, and the names of all others. Throws `InputError` if row groups lack one. */
export function numberColumns(file: string, metadata: FileMetaData): { columns: NumberColumn[]; others: string[] } {
  const root = parquetSchema(metadata);
  const chunksByPath = chunksOf(metadata);
  const columns: NumberColumn[] = [];
  const others: string[] = [];
  for (const child of root.children) {
    const column = describeColumn(file, chunksByPath, root, child);
    if (column === null) others.push(child.element.name);
    else columns.push(column);
  }
  return { columns, others };
}

function chunksOf(metadata: FileMetaData): ReadonlyMap<string | undefined, ColumnChunk>[] {
  return metadata.row_groups.map(
    ({ columns }) => new Map(columns.map((chunk) => [chunk.meta_data?.path_in_schema.join("."), chunk])),
  );
}

function describeColumn(
  file: string,
  chunksByPath: readonly ReadonlyMap<string | undefined, ColumnChunk>[],
  root: SchemaTree,
  child: SchemaTree,
): NumberColumn | null {
  const schemaPath = [root];
  let node = child;
  for (;;) {
    schemaPath.push(node);
    if (node.children.length === 0) break;
    if (node.children.length > 1) return null;
    node = node.children[0];
  }
  const type = numberType(node.element);
  const repetition = getMaxRepetitionLevel(schemaPath);
  if (type === null || repetition > 2 || (repetition === 0 && schemaPath.length > 2)) return null;
  const path = node.path.join(".");
  const chunks = chunksByPath.map((byPath, group) => {
    const chunk = byPath.get(path);
    if (chunk?.meta_data === undefined || chunk.file_path) {
      throw new InputError(
        `${file}: malformed parquet file: row group ${group} has no column ${quoteName(path)} of its own`,
      );
    }
    return chunk.meta_data;
  });
  return {
    name: child.element.name,
    ...type,
    isList: repetition > 0,
    depth: repetition as NumberColumn["depth"],
    maxDefinitionLevel: getMaxDefinitionLevel(schemaPath),
    element: node.element,
    schemaPath,
    chunks,
  };
}

/** Returns the type of the numbers, or null if the column holds text, dates, decimals, booleans or bytes. */
function numberType(element: SchemaElement): Pick<NumberColumn, "dtype" | "kind"> | null {
  const { type, converted_type: converted, logical_type: logical } = element;
  if (type === "FLOAT") return { dtype: "float32", kind: "float" };
  if (type === "DOUBLE") return { dtype: "float64", kind: "float" };
  if (type === "FIXED_LEN_BYTE_ARRAY" && logical?.type === "FLOAT16" && element.type_length === 2) {
    return { dtype: "float16", kind: "float" };
  }
  if (type !== "INT32" && type !== "INT64") return null;
  if (converted !== undefined && !/^U?INT_/.test(converted)) return null;
  if (logical !== undefined && logical.type !== "INTEGER") return null;
  return { dtype: type.toLowerCase(), kind: "integer" };
}

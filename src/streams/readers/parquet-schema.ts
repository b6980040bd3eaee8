import type { ColumnMetaData, FileMetaData, SchemaElement, SchemaTree } from "hyparquet";
import { parquetSchema } from "hyparquet";
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from "hyparquet/src/schema.js";
import { InputError } from "../../core/input-error.ts";

/** A column of numbers as it is stored: one value per row, or a list of them. */
export interface NumberColumn {
  readonly name: string;
  /** `float32`, `int64`, … */
  readonly dtype: string;
  readonly kind: "float" | "integer";
  readonly isList: boolean;
  /** The level at which a value is there; below it the value, the list or the row is null or empty. */
  readonly maxDefinitionLevel: number;
  readonly element: SchemaElement;
  /** From the root to the leaf. */
  readonly schemaPath: SchemaTree[];
  /** Its part of each row group, in file order. */
  readonly chunks: readonly ColumnMetaData[];
}

/**
 * The columns that hold the experts: `column`, or the only list column, or else all columns, one number each. Throws
 * `InputError`, which lists the columns of the file, when there are none or more than one way to choose.
 */
export function chooseNumberColumns(file: string, metadata: FileMetaData, column?: string): NumberColumn[] {
  const root = parquetSchema(metadata);
  const readable = root.children.map((child) => describeColumn(file, metadata, root, child));
  const list = root.children
    .map(({ element }, i) => `"${element.name}" (${readable[i] === null ? "no numbers" : describeType(readable[i])})`)
    .slice(0, 20)
    .join(", ");
  const columns = readable.filter((candidate) => candidate !== null);
  if (column !== undefined) {
    const named = columns.find(({ name, isList }) => name === column && isList);
    if (named === undefined) throw new InputError(`${file}: no list column of numbers "${column}"; it holds ${list}`);
    return [named];
  }
  const lists = columns.filter(({ isList }) => isList);
  if (lists.length === 1) return lists;
  if (lists.length > 1) throw new InputError(`${file}: several list columns; name one with "column": ${list}`);
  if (columns.length === 0 || columns.length < root.children.length) {
    throw new InputError(
      `${file}: one list column of numbers, or nothing but columns of one number each, is expected; it holds ${list}`,
    );
  }
  const [first, ...others] = columns;
  const odd = others.find(({ kind }) => kind !== first.kind);
  if (odd !== undefined) {
    throw new InputError(
      `${file}: columns "${first.name}" (${first.dtype}) and "${odd.name}" (${odd.dtype}) cannot both be experts; ` +
        "all integers or all floats are allowed",
    );
  }
  return columns;
}

function describeType({ dtype, isList }: NumberColumn): string {
  return isList ? `list of ${dtype}` : dtype;
}

function describeColumn(
  file: string,
  metadata: FileMetaData,
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
  if (type === null || repetition > 1 || (repetition === 0 && schemaPath.length > 2)) return null;
  const path = node.path.join(".");
  const chunks = metadata.row_groups.map((rowGroup, group) => {
    const chunk = rowGroup.columns.find(({ meta_data }) => meta_data?.path_in_schema.join(".") === path);
    if (chunk?.meta_data === undefined || chunk.file_path) {
      throw new InputError(`${file}: malformed parquet file: row group ${group} has no column "${path}" of its own`);
    }
    return chunk.meta_data;
  });
  return {
    name: child.element.name,
    ...type,
    isList: repetition === 1,
    maxDefinitionLevel: getMaxDefinitionLevel(schemaPath),
    element: node.element,
    schemaPath,
    chunks,
  };
}

/** The type of the numbers, or null when the column holds text, dates, decimals, truth values or bytes. */
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

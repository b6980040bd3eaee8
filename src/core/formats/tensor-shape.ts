import { InputError } from "../input-error.ts";
import { shapeText } from "./message-parts.ts";

/** Dimensions of a tensor as rows and columns. */
export interface TensorSize {
  readonly rows: number;
  readonly columns: number;
}

/**
 * Splits `shape` into rows (all dimensions but the last) and columns (the last). Throws `InputError` if a dimension is
 * not an integer, if one is zero, if there are none or more than three, or if their product is not an exact double.
 */
export function tensorSize(file: string, shape: readonly number[]): TensorSize {
  const printed = shapeText(shape);
  for (const length of shape) {
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new InputError(`${file}: the shape ${printed} is malformed; dimensions must be integers ≥ 0`);
    }
  }
  if (shape.length < 1 || shape.length > 3) {
    throw new InputError(`${file}: the shape ${printed} has ${shape.length} dimensions; 1 to 3 are allowed`);
  }
  if (shape.includes(0)) {
    throw new InputError(`${file}: empty stream: the shape ${printed} has no values; every dimension must be ≥ 1`);
  }
  const values = shape.reduce((product, length) => product * length, 1);
  if (!Number.isSafeInteger(values)) {
    throw new InputError(`${file}: the shape ${printed} promises more values than any file can hold`);
  }
  const columns = shape[shape.length - 1];
  return { rows: values / columns, columns };
}

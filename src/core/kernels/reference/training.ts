import type { Kernels } from "../kernels.ts";

/** The kernels of a layer of experts that is trained. */
export const trainingKernels: Pick<
  Kernels,
  | "multiplyRightTransposed"
  | "multiplyLeftTransposed"
  | "sumRows"
  | "scatterRows"
  | "expertForward"
  | "expertBackward"
  | "combineRows"
  | "rowProducts"
  | "crossEntropy"
  | "squaredError"
  | "adam"
> = {
  multiplyRightTransposed(left, right, out, rows, inner, columns, accumulate) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        let sum = accumulate ? out[row * columns + column] : 0;
        for (let i = 0; i < inner; i++) sum += left[row * inner + i] * right[column * inner + i];
        out[row * columns + column] = sum;
      }
    }
  },

  multiplyLeftTransposed(left, right, out, rows, leftColumns, columns) {
    for (let i = 0; i < leftColumns; i++) {
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let row = 0; row < rows; row++) sum += left[row * leftColumns + i] * right[row * columns + column];
        out[i * columns + column] = sum;
      }
    }
  },

  sumRows(values, rows, columns, out) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += values[row * columns + column];
      out[column] = sum;
    }
  },

  scatterRows(values, index, rows, columns, table) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        table[index[row] * columns + column] += values[row * columns + column];
      }
    }
  },

  expertForward(tokens, token, start, end, parameters, width, hidden, inner, output) {
    const { into, intoOffset, outOf, outOfOffset } = expertBlocks(parameters, width, hidden);
    for (let p = start; p < end; p++) {
      for (let h = 0; h < hidden; h++) {
        let sum = intoOffset[h];
        for (let i = 0; i < width; i++) sum += tokens[token[p] * width + i] * into[i * hidden + h];
        inner[p * hidden + h] = Math.max(sum, 0);
      }
      for (let i = 0; i < width; i++) {
        let sum = outOfOffset[i];
        for (let h = 0; h < hidden; h++) sum += inner[p * hidden + h] * outOf[h * width + i];
        output[p * width + i] = sum;
      }
    }
  },

  expertBackward(
    tokens,
    token,
    gate,
    start,
    end,
    parameters,
    width,
    hidden,
    inner,
    outputGradient,
    tokenGradient,
    gradient,
  ) {
    const { into, outOf } = expertBlocks(parameters, width, hidden);
    // Sums over pairs in float64, rounded once.
    const sums = new Float64Array(gradient.length);
    const ofParameters = expertBlocks(sums, width, hidden);
    const delta = new Float64Array(width);
    for (let p = start; p < end; p++) {
      const [x, h0] = [token[p] * width, p * hidden];
      for (let i = 0; i < width; i++) {
        delta[i] = gate[p] * outputGradient[x + i];
        ofParameters.outOfOffset[i] += delta[i];
      }
      for (let h = 0; h < hidden; h++) {
        let sum = 0;
        for (let i = 0; i < width; i++) {
          sum += delta[i] * outOf[h * width + i];
          ofParameters.outOf[h * width + i] += inner[h0 + h] * delta[i];
        }
        inner[h0 + h] = inner[h0 + h] > 0 ? sum : 0;
        ofParameters.intoOffset[h] += inner[h0 + h];
        for (let i = 0; i < width; i++) ofParameters.into[i * hidden + h] += tokens[x + i] * inner[h0 + h];
      }
      if (tokenGradient === null) continue;
      for (let i = 0; i < width; i++) {
        let sum = 0;
        for (let h = 0; h < hidden; h++) sum += inner[h0 + h] * into[i * hidden + h];
        tokenGradient[p * width + i] = sum;
      }
    }
    gradient.set(sums);
  },

  combineRows(values, pair, weight, tokens, slots, columns, out) {
    for (let t = 0; t < tokens; t++) {
      for (let column = 0; column < columns; column++) {
        let sum = out[t * columns + column];
        for (let slot = t * slots; slot < (t + 1) * slots; slot++) {
          const p = pair[slot];
          if (p >= 0) sum += (weight?.[p] ?? 1) * values[p * columns + column];
        }
        out[t * columns + column] = sum;
      }
    }
  },

  rowProducts(left, right, index, rows, columns, out) {
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let i = 0; i < columns; i++) sum += left[row * columns + i] * right[index[row] * columns + i];
      out[row] = sum;
    }
  },

  crossEntropy(logits, target, rows, columns, gradient) {
    let loss = 0;
    for (let row = 0; row < rows; row++) {
      const entries = Array.from(logits.subarray(row * columns, (row + 1) * columns));
      if (!entries.every(Number.isFinite)) return Number.NaN;
      const largest = Math.max(...entries);
      const sum = entries.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
      loss += Math.log(sum) + largest - entries[target[row]];
      for (const [column, logit] of entries.entries()) {
        const excess = Math.exp(logit - largest) / sum - (column === target[row] ? 1 : 0);
        gradient[row * columns + column] = excess / rows;
      }
    }
    return loss / rows;
  },

  squaredError(values, targets, length, gradient) {
    let sum = 0;
    for (let i = 0; i < length; i++) {
      const error = values[i] - targets[i];
      sum += error ** 2;
      gradient[i] = (2 * error) / length;
    }
    return sum / length;
  },

  adam(values, first, second, gradient, length, rate, secondScale) {
    for (let i = 0; i < length; i++) {
      first[i] = 0.9 * first[i] + (1 - 0.9) * gradient[i];
      second[i] = 0.999 * second[i] + (1 - 0.999) * gradient[i] ** 2;
      values[i] -= (rate * first[i]) / (Math.sqrt(secondScale * second[i]) + 1e-8);
    }
  },
};

/** The four parts of an expert's parameters, or of their gradient. */
function expertBlocks<Values extends Float32Array | Float64Array>(values: Values, width: number, hidden: number) {
  const matrix = width * hidden;
  const part = (start: number, length: number) => values.subarray(start, start + length) as Values;
  return {
    into: part(0, matrix),
    intoOffset: part(matrix, hidden),
    outOf: part(matrix + hidden, matrix),
    outOfOffset: part(2 * matrix + hidden, width),
  };
}

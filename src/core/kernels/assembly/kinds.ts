// What affinities are made from logits by, as `../wasm.ts` numbers them.

// @ts-ignore: decorator
@inline
export const LOGITS: i32 = 0;
// @ts-ignore: decorator
@inline
export const SOFTMAX: i32 = 1;
// @ts-ignore: decorator
@inline
export const SIGMOID: i32 = 2;
// @ts-ignore: decorator
@inline
export const SQRT_SOFTPLUS: i32 = 3;

// The host's own functions, so that the rare float64 decisions of the kernels have the very bits that the plain
// TypeScript twins compute.

// @ts-ignore: decorator
@external("host", "exp")
export declare function hostExp(x: f64): f64;

// @ts-ignore: decorator
@external("host", "log")
export declare function hostLog(x: f64): f64;

// @ts-ignore: decorator
@external("host", "log1p")
export declare function hostLog1p(x: f64): f64;

/** The router logits of one step: what every router of a scenario sees. */
export interface TokenBatch {
  /** Counts from 0. */
  readonly step: number;
  /** Tokens in this batch. The last batch of a recorded file may be shorter than the others. */
  readonly tokens: number;
  readonly experts: number;
  /**
   * `[tokens × experts]`, row-major, finite. The array may be longer than `tokens · experts` and is overwritten by the
   * next batch; routers read it and never write to it.
   */
  readonly logits: Float32Array;
  /** `[tokens]`, the true cluster of each token; only where the stream knows it. May be longer than `tokens`. */
  readonly cluster?: Int32Array;
}

/** The part of jstat that is used here: the package has no types. */
declare module "jstat" {
  const jstat: {
    readonly studentt: {
      /** The quantile of probability `p` in (0, 1), `freedom` > 0. */
      inv(p: number, freedom: number): number;
    };
  };
  export default jstat;
}

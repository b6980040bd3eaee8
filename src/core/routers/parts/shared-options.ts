import { z } from "zod";

/** What a random source's state looks like after a trip through JSON. */
export const randomStateSchema = z.strictObject({
  i: z.number().int(),
  j: z.number().int(),
  S: z.array(z.number().int()),
});

/** The state of a router that remembers nothing between batches. */
export const emptyStateSchema = z.strictObject({});

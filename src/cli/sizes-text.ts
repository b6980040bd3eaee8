import { counted } from "../core/words.ts";

/** Describes the size of a stream: `10 steps of 512 tokens, 16 experts`. */
export function sizesText(steps: number, tokens: number, experts: number): string {
  return `${counted(steps, "step")} of ${counted(tokens, "token")}, ${counted(experts, "expert")}`;
}

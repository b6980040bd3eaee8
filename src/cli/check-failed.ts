/** A check that the user asked for failed. The command has already printed why; the program exits with code 1. */
export class CheckFailed extends Error {
  override readonly name = "CheckFailed";
}

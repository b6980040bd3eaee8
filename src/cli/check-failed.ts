/**
 * A check that the user asked for failed: no fault of the input, nor of the program. The command has told what failed, and
 * exits with code 1.
 */
export class CheckFailed extends Error {
  override readonly name = "CheckFailed";
}

import { InputError } from "../../core/input-error.ts";

/**
 * Does `work`, which runs the scenario in `file`, and lets what turns out to be wrong with it name that file, as all
 * that is found before it runs does.
 */
export async function namingFile<Result>(file: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof InputError ? error.within(`${file}: `) : error;
  }
}

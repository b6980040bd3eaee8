/**
 * The published models whose routing a scenario can name.
 *
 * @module
 */
import { findModel, type Model, modelDescriptions } from "../scenario/models.ts";

export type { Model };

/** Every model, in the order of `moesim list models`. */
export function list(): readonly Model[] {
  return modelDescriptions;
}

/** Returns the model of that name, or with the same routing as the model of that name; undefined if there is none. */
export function find(name: string): Model | undefined {
  return findModel(name);
}

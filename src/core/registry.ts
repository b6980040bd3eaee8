/** The kinds of routers or streams, in the order of `list`: moesim's own, then those that plugins add to this thread. */
export interface Registry<Kind extends { readonly kind: string }> {
  /** Grows when a kind is added. */
  readonly kinds: readonly Kind[];
  /** Returns the kind of that name; undefined if there is none. */
  find(name: string): Kind | undefined;
  /** Returns the kind that a router or stream of a checked scenario names. Throws `Error` if there is none. */
  kindOf(choice: { readonly kind: string }): Kind;
  /** Adds a kind, whose name must be new. */
  add(kind: Kind): void;
}

/** @param noun what a kind is, for errors */
export function createRegistry<Kind extends { readonly kind: string }>(
  noun: string,
  own: readonly Kind[],
): Registry<Kind> {
  const kinds = [...own];
  const find = (name: string) => kinds.find(({ kind }) => kind === name);
  return {
    kinds,
    find,
    kindOf({ kind }) {
      const found = find(kind);
      if (found === undefined) throw new Error(`There is no ${noun} of kind "${kind}".`);
      return found;
    },
    add: (kind) => void kinds.push(kind),
  };
}

/** Returns a function that returns what `make` makes, and makes it again only after one of `lists` has grown. */
export function derivedFrom<Value>(lists: readonly (readonly unknown[])[], make: () => Value): () => Value {
  let made: { readonly value: Value; readonly size: number } | null = null;
  return () => {
    let size = 0;
    for (const list of lists) size += list.length;
    if (made === null || made.size !== size) made = { value: make(), size };
    return made.value;
  };
}

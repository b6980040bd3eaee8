const mostItems = 10;

/** `a, b, c`; of more than `most` items the first ones and how many there are besides, so that no message is unbounded. */
export function listedFirst(items: readonly (string | number)[], most = mostItems): string {
  const shown = items.slice(0, most).join(", ");
  return items.length > most ? `${shown}, … and ${items.length - most} more` : shown;
}

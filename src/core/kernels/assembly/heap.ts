// A binary heap of indices, ordered by the float64 key of each index: largest key first, ties to the lower index.

// @ts-ignore: decorator
@inline
function indexAt(heap: usize, place: i32): i32 {
  return load<i32>(heap + ((<usize>place) << 2));
}

// @ts-ignore: decorator
@inline
function precedes(left: i32, right: i32, keys: usize): bool {
  const leftKey = load<f64>(keys + ((<usize>left) << 3));
  const rightKey = load<f64>(keys + ((<usize>right) << 3));
  return leftKey > rightKey || (leftKey == rightKey && left < right);
}

function sink(heap: usize, size: i32, start: i32, keys: usize): void {
  const moved = indexAt(heap, start);
  let place = start;
  for (;;) {
    let child = 2 * place + 1;
    if (child >= size) break;
    if (child + 1 < size && precedes(indexAt(heap, child + 1), indexAt(heap, child), keys)) child += 1;
    if (!precedes(indexAt(heap, child), moved, keys)) break;
    store<i32>(heap + ((<usize>place) << 2), indexAt(heap, child));
    place = child;
  }
  store<i32>(heap + ((<usize>place) << 2), moved);
}

/**
 * Writes the `count` first of the `size` int32 indices at `heap` to `to`, in order, and the others that have the key of the
 * last; returns how many; O(size + count·log size). `keys` holds a float64 for every index. The heap is used up.
 */
export function firstInOrder(heap: usize, size: i32, keys: usize, count: i32, to: usize): i32 {
  for (let place = (size >> 1) - 1; place >= 0; place--) sink(heap, size, place, keys);
  let taken = 0;
  let last: f64 = 0;
  for (; size > 0; taken++) {
    const first = indexAt(heap, 0);
    const key = load<f64>(keys + ((<usize>first) << 3));
    if (taken >= count && !(count > 0 && key == last)) break;
    last = key;
    store<i32>(to + ((<usize>taken) << 2), first);
    size -= 1;
    store<i32>(heap, indexAt(heap, size));
    sink(heap, size, 0, keys);
  }
  return taken;
}

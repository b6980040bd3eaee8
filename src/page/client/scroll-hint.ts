/** Shows the hint after `box` while what it holds is wider than the box, as it is after "All columns" or in a narrow window. */
export function followWidth(box: HTMLElement): void {
  const hint = box.nextElementSibling as HTMLElement;
  const observer = new ResizeObserver(() => {
    hint.hidden = box.scrollWidth <= box.clientWidth;
  });
  observer.observe(box);
  for (const content of box.children) observer.observe(content);
}

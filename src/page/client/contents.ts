/** How far down the window a section must begin to count as the one being read. */
const readingLine = 0.3;

/**
 * Keeps the contents in step with the page: marks the section being read, closes the list after a link or a router was
 * picked, and opens the collapsed section that a link leads to.
 */
export function followReading(): void {
  const links = Array.from(document.querySelectorAll<HTMLAnchorElement>("nav a"));
  const sections = links.map((link) => document.getElementById(link.hash.slice(1))!);
  const bar = document.querySelector<HTMLElement>(".bar")!;
  const here = bar.querySelector<HTMLElement>(".here")!;

  const mark = () => {
    const line = innerHeight * readingLine;
    const isAtEnd = Math.ceil(innerHeight + scrollY) >= document.documentElement.scrollHeight;
    const current = isAtEnd
      ? links.length - 1
      : sections.findLastIndex((section) => section.getBoundingClientRect().top < line);
    for (const [position, link] of links.entries()) {
      if (position === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    here.textContent = links[current]?.textContent ?? "";
  };
  let isWaiting = false;
  addEventListener(
    "scroll",
    () => {
      if (isWaiting) return;
      isWaiting = true;
      requestAnimationFrame(() => {
        isWaiting = false;
        mark();
      });
    },
    { passive: true },
  );
  mark();

  for (const list of document.querySelectorAll<HTMLElement>("[popover]")) {
    list.addEventListener("beforetoggle", () => {
      list.style.top = `${bar.getBoundingClientRect().bottom}px`;
    });
    list.addEventListener("click", ({ target }) => {
      if ((target as Element).closest("a, button") !== null && list.matches(":popover-open")) list.hidePopover();
    });
  }

  const unfold = () => {
    const folded = document.getElementById(location.hash.slice(1))?.closest("details");
    if (folded) folded.open = true;
  };
  addEventListener("hashchange", unfold);
  // A link to the current section changes nothing.
  for (const link of links) link.addEventListener("click", () => setTimeout(unfold));
  unfold();
}

/** Opens collapsed sections while `isPrinting`, and closes them again afterwards. */
export function unfoldOnPaper(isPrinting: boolean): void {
  for (const folded of document.querySelectorAll<HTMLDetailsElement>("details")) {
    if (isPrinting && !folded.open) {
      folded.open = true;
      folded.dataset.folded = "";
    } else if (!isPrinting && folded.dataset.folded !== undefined) {
      folded.open = false;
      delete folded.dataset.folded;
    }
  }
}

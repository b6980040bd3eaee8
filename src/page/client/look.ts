import type { ThemeName } from "../../core/pictures/parts/theme.ts";

/** How to show the page. */
export interface Look {
  readonly theme: ThemeName;
  readonly isPrinting: boolean;
}

/**
 * Follows the system's theme until `button` chooses another; printing is always light. Calls `onChange` with each look
 * after the first, and returns a function that reads the current look.
 */
export function followLook(button: HTMLButtonElement, onChange: (look: Look) => void): () => Look {
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const print = matchMedia("print");
  let chosen: ThemeName | null = null;
  let isPrinting = print.matches;

  const screenTheme = (): ThemeName => chosen ?? (prefersDark.matches ? "dark" : "light");
  const look = (): Look => ({ theme: isPrinting ? "light" : screenTheme(), isPrinting });
  const update = () => {
    button.setAttribute("aria-pressed", String(screenTheme() === "dark"));
    onChange(look());
  };
  const setPrinting = (value: boolean) => {
    if (value === isPrinting) return;
    isPrinting = value;
    update();
  };

  button.setAttribute("aria-pressed", String(screenTheme() === "dark"));
  button.addEventListener("click", () => {
    chosen = screenTheme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    update();
  });
  prefersDark.addEventListener("change", update);
  // Browsers announce printing by one event, the other, or both.
  print.addEventListener("change", ({ matches }) => setPrinting(matches));
  addEventListener("beforeprint", () => setPrinting(true));
  addEventListener("afterprint", () => setPrinting(false));
  return look;
}

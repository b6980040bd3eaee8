import { themes } from "../core/pictures/parts/theme.ts";

/** Returns the themes as a style sheet of custom properties; `color-scheme` picks one of each pair. */
export function colorProperties(): string {
  const { light, dark } = themes;
  const pair = (name: string, of: (theme: typeof light) => string) => `--${name}:light-dark(${of(light)},${of(dark)})`;
  const properties = [
    pair("background", (theme) => theme.background),
    pair("text", (theme) => theme.text),
    pair("muted-text", (theme) => theme.mutedText),
    pair("grid-line", (theme) => theme.gridLine),
    ...light.variants.map((_, position) => pair(`variant${position}`, (theme) => theme.variants[position])),
  ];
  return `:root{${properties.join(";")}}`;
}

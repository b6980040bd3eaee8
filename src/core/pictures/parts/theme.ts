import type { EChartsOption } from "echarts";
import { laidOut, type Picture, pictureWidth } from "../picture.ts";

/** Font family of images and fallback of pages: shipped with the program, the same on every machine. */
export const fontFamily = "DejaVu Sans, Verdana, sans-serif";

/** Tooltip of a picture: plain text in the theme's colours. */
const tooltipStyle = {
  confine: true,
  backgroundColor: "@background",
  borderColor: "@gridLine",
  textStyle: { color: "@text", fontSize: 12 },
  // No wider than the picture, however long names are.
  extraCssText: "max-width: 100%; white-space: normal; overflow-wrap: anywhere",
} as const;

/**
 * Returns the ECharts option for `picture` in the colours of `theme`, `width` pixels wide, and the height in pixels.
 * Works in a page as well as without a browser.
 */
export function chartOption(
  picture: Picture,
  theme: Theme,
  width = pictureWidth,
): { option: EChartsOption; height: number } {
  const { option, height } = laidOut(picture, width);
  return {
    height,
    option: withTheme(
      {
        animation: false,
        backgroundColor: "@background",
        textStyle: { fontFamily, color: "@text" },
        aria: { enabled: true, label: { description: picture.finding } },
        ...option,
        tooltip: { ...tooltipStyle, ...option.tooltip },
      },
      theme,
    ),
  };
}

/**
 * Colours of pictures and pages. A picture names them by tokens (`@text`, `@variant3`), which are replaced by the
 * theme's colours when it is drawn, so one picture serves both light and dark.
 */
export interface Theme {
  readonly background: string;
  readonly text: string;
  /** Axis labels, captions. */
  readonly mutedText: string;
  readonly gridLine: string;
  /** Heat map cells, from no load to the highest. */
  readonly scale: readonly string[];
  /** Experts without a token. */
  readonly idle: string;
  /** One per router or sweep cell, in order; starts over after the last. */
  readonly variants: readonly string[];
}

export type ThemeName = "light" | "dark";

/**
 * Okabe and Ito's palette (2008), which colour-blind people can tell apart, with black and yellow adapted to the
 * background. The scale is a single hue from faint to strong, whose order survives every colour blindness and print.
 */
export const themes: Readonly<Record<ThemeName, Theme>> = {
  light: {
    background: "#ffffff",
    text: "#1b1f24",
    mutedText: "#57606a",
    gridLine: "#d8dee4",
    scale: ["#eef4fb", "#9ecae1", "#4292c6", "#08519c", "#08204a"],
    idle: "#d55e00",
    variants: ["#1b1f24", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#b08900", "#7f7f7f"],
  },
  dark: {
    background: "#0d1117",
    text: "#e6edf3",
    mutedText: "#9aa5b1",
    gridLine: "#30363d",
    scale: ["#16202c", "#1f4a75", "#2f7fc1", "#7fb8e6", "#e3f1ff"],
    idle: "#ff8c42",
    variants: ["#e6edf3", "#ff8c42", "#58a6ff", "#2fbf8f", "#e39cc4", "#8fd3ff", "#e3c04b", "#a5a5a5"],
  },
};

/** Returns the token of the variant at `position` among the results' variants: the same in every picture. */
export function variantColor(position: number): string {
  return `@variant${position % themes.light.variants.length}`;
}

const dashes = ["solid", "dashed", "dotted"] as const;

/** Returns the stroke that tells apart variants with the same colour, since there are more variants than colours. */
export function variantDash(position: number): (typeof dashes)[number] {
  return dashes[Math.floor(position / themes.light.variants.length) % dashes.length];
}

const symbols = ["circle", "triangle", "diamond"] as const;

/** Returns the symbol that tells apart points of variants with the same colour. */
export function variantSymbol(position: number): (typeof symbols)[number] {
  return symbols[Math.floor(position / themes.light.variants.length) % symbols.length];
}

const colorKey = /color$/i;

/**
 * Returns a copy of a picture's option with tokens replaced by the colours of `theme`. Tokens appear only in fields
 * whose name ends in "color", so a router whose name looks like a token keeps its name.
 */
function withTheme<Option>(option: Option, theme: Theme): Option {
  return replaceTokens(option, theme, false) as Option;
}

function replaceTokens(value: unknown, theme: Theme, isColor: boolean): unknown {
  if (typeof value === "string") return isColor ? colorOf(value, theme) : value;
  if (Array.isArray(value)) {
    // Data is by far the largest part of an option, and numbers hold no colours.
    return typeof value[0] === "number" ? value : value.map((item) => replaceTokens(item, theme, isColor));
  }
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, replaceTokens(item, theme, colorKey.test(key))]),
  );
}

function colorOf(token: string, theme: Theme): string {
  if (!token.startsWith("@")) return token;
  const [, name, position] = /^@([a-zA-Z]+)(\d*)$/.exec(token) ?? [];
  const color = theme[(name === "variant" ? "variants" : name) as keyof Theme];
  const found = typeof color === "string" ? color : color?.[Number(position)];
  if (found === undefined) throw new RangeError(`${token} is not a colour of the theme`);
  return found;
}

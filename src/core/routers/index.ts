import { createRegistry } from "../registry.ts";
import { alfLbKind } from "./alf-lb.ts";
import { auxLossKind } from "./aux-loss.ts";
import { baseKind } from "./base.ts";
import { expertChoiceKind } from "./expert-choice.ts";
import { expertThresholdKind } from "./expert-threshold.ts";
import { groupedTopkKind } from "./grouped-topk.ts";
import { hashKind } from "./hash.ts";
import { noisyTopkKind } from "./noisy-topk.ts";
import { quantileKind } from "./quantile.ts";
import { randomKind } from "./random.ts";
import { roundRobinKind } from "./round-robin.ts";
import type { RouterKind } from "./router.ts";
import { scotKind } from "./scot.ts";
import { sinkhornKind } from "./sinkhorn.ts";
import { ssrKind } from "./ssr.ts";
import { topkKind } from "./topk.ts";

/** Every routing algorithm, in the order of `list routers`. A new one needs its file and a line here. */
const kinds = [
  topkKind,
  noisyTopkKind,
  groupedTopkKind,
  quantileKind,
  expertThresholdKind,
  alfLbKind,
  auxLossKind,
  sinkhornKind,
  ssrKind,
  scotKind,
  expertChoiceKind,
  baseKind,
  hashKind,
  randomKind,
  roundRobinKind,
] as const;

const registry = createRegistry<RouterKind>("router", kinds);

/** Every kind, including those that plugins added. */
export const routerKinds = registry.kinds;

/** The type of each kind, which knows its name and its options. */
export type KnownRouterKind = (typeof kinds)[number];

export const {
  /** The kind of a scenario's router, which names one that exists. */
  kindOf: routerKindOf,
  /** The algorithm of that name; undefined if there is none. */
  find: findRouterKind,
  /** Adds a plugin's kind. */
  add: addRouterKind,
} = registry;

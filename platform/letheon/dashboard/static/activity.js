// What a live sweep does now: a bar per worker, the driver's own work, what a preparation has made.

import { bar } from "./costs.js";
import { el, fill } from "./dom.js";
import { duration, number } from "./format.js";

const SILENT = 30; // seconds without news from a worker, from which on they are shown

// `now`: `activity` of `status --json`; null or without work: nothing is shown.
export function activity(node, now) {
  const made = (state) => now.artifacts.filter((one) => one.state === state).map((one) => one.name).join(", ");
  const states = now?.artifacts.length ? ["ready", "running", "waiting"].filter(made).map((state) => `${state}: ${made(state)}`) : [];
  fill(node,
    states.length > 0 && el("p", { class: "small muted" }, states.join("; ")),
    now?.driver && el("p", { class: "small muted" }, now.driver),
    now?.work.length > 0 && el("div", { class: "progress" }, now.work.flatMap((one) => [
      el("span", {}, one.epoch === null ? one.job : `${one.job} epoch ${one.epoch}`, `: ${one.stage}`),
      one.of ? bar([[Math.min(1, one.step / one.of), "accent"]]) : el("span", {}), el("span", { class: "numbers" }, facts(one))])));
}

function facts(one) {
  return [
    one.of && `${one.step} of ${one.of}`,
    one.loss !== null && `loss ${number(one.loss)}`,
    one.tokens_per_second !== null && `${Math.round(one.tokens_per_second).toLocaleString("en")} tokens/s`,
    one.seconds_left !== null ? `about ${duration(one.seconds_left)} left` : duration(one.seconds),
    one.silent > SILENT && `no news for ${duration(one.silent)}`,
  ].filter(Boolean).join(", ");
}

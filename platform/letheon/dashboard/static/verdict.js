// Whether a checkpoint has forgotten, in a word: data of points, trials and fractions, shown where the server gives it.

import { el } from "./dom.js";
import { words } from "./format.js";

const TONES = { forgotten: "finished", not_forgotten: "failed", over_forgotten: "interrupted", damaged: "failed" };

export function verdict(value) {
  if (!value) return null;
  const name = String(value).replaceAll(/[ -]/g, "_");
  return el("span", { class: `pill ${TONES[name] ?? ""}` }, words(name));
}

export function hasVerdicts(items) {
  return items.some((one) => one.verdict);
}

// Whether a checkpoint has forgotten, in a word, and why one may say so: data of points, trials and fractions.

import { el } from "./dom.js";

const TONES = { forgotten: "finished", "not forgotten": "failed", "over-forgotten": "interrupted", damaged: "failed" };

// `said`: {name, reasons}; nothing where there is none.
export function verdict(said) {
  return said ? el("span", { class: `pill ${TONES[said.name] ?? ""}`, title: said.reasons.join("; ") } , said.name) : null;
}

export function hasVerdicts(items) {
  return items.some((one) => one.verdict);
}

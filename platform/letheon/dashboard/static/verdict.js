// The verdict of a point, trial or fraction on forgetting, as a label with its reasons.

import { el } from "./dom.js";

const TONES = { forgotten: "finished", "not forgotten": "failed", "over-forgotten": "interrupted", damaged: "failed" };

// `judged`: {name, reasons} or null.
export function verdict(judged) {
  return judged ? el("span", { class: `pill ${TONES[judged.name] ?? ""}`, title: judged.reasons.join("; ") }, judged.name) : null;
}

export function hasVerdicts(items) {
  return items.some((one) => one.verdict);
}

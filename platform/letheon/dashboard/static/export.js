// All trials of a sweep as CSV: one line per trial, with the metrics at its best epoch.

import { downloadText, fileName } from "./download.js";
import { outcome } from "./trials.js";

export function downloadTrials(view) {
  downloadText(fileName("trials", "csv"), "text/csv;charset=utf-8", trialsCsv(view));
}

export function trialsCsv(view) {
  const settings = [...new Set(view.trials.flatMap((trial) => Object.keys(trial.config)))].filter((name) => name !== "forget_fraction");
  const metrics = view.metrics.map((one) => one.name);
  const head = ["trial", "forget_fraction", ...settings, "outcome", "reason", "epochs", "seconds", "front", "verdict", "best_epoch", ...metrics];
  const lines = view.trials.map((trial) => {
    const best = trial.epochs.indexOf(trial.best);
    return [trial.id, trial.stratum, ...settings.map((name) => trial.config[name]), outcome(trial), trial.reason, trial.epochs.at(-1) ?? 0, trial.seconds,
      trial.rank === null ? null : trial.rank + 1, trial.verdict?.name, trial.best, ...metrics.map((name) => trial.metrics[name]?.[best])];
  });
  return [head, ...lines].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

// Text that a spreadsheet would read as a formula gets a leading quote.
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

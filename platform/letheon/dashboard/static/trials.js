// What pages ask of a sweep's trials. Plain functions of the view.

import { number, words } from "./format.js";

const COMMON = ["seed", "forget_fraction", "batch_size", "warmup_epochs", "weight_decay"];

export function byStratum(view, key) {
  return view.trials.filter((trial) => trial.stratum === key);
}

// Hyper-parameters in which the trials differ, the method first.
export function varied(trials) {
  const names = [...new Set(trials.flatMap((trial) => Object.keys(trial.config)))];
  return names.filter((name) => new Set(trials.map((trial) => String(trial.config[name]))).size > 1 || name === "method")
    .filter((name) => name !== "forget_fraction");
}

export function ownConfig(config) {
  return Object.entries(config).filter(([name]) => name !== "method" && !COMMON.includes(name));
}

export function inShort(config) {
  return ownConfig(config).map(([name, value]) => `${words(name)} ${typeof value === "number" ? number(value) : value}`).join(", ");
}

// Where a trial was at each of its epochs: [{x, y, epoch}, …], without what is not a number.
export function path(view, trial) {
  const [x, y] = view.objectives.map((one) => trial.metrics[one.metric] ?? []);
  return trial.epochs.map((epoch, i) => ({ x: x[i], y: y[i], epoch }))
    .filter((spot) => Number.isFinite(spot.x) && Number.isFinite(spot.y));
}

// Where a trial's best checkpoint is, {x, y, epoch}: the server chose it, by the rule that MLflow has; null without one.
export function best(view, trial) {
  return path(view, trial).find((spot) => spot.epoch === trial.best) ?? null;
}

// Those that are shown: of the chosen fraction, of methods that are not hidden, inside the marked ranges.
export function chosen(state) {
  return byStratum(state.view, state.stratum)
    .filter((trial) => !state.hidden.has(trial.config.method ?? "") && (!state.kept || state.kept.has(trial.id)));
}

export function outcome(trial) {
  return trial.outcome ?? "running";
}

// Fronts are counted from 1: the first is the front itself.
export function rankInWords(rank) {
  return rank === null || rank === undefined ? "not feasible" : rank === 0 ? "on the front" : `${rank + 1}`;
}

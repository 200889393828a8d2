// Questions about a sweep's trials, as plain functions of the view.

import { number, words } from "./format.js";

const COMMON = ["seed", "forget_fraction", "batch_size", "warmup_epochs", "weight_decay"];

export function byStratum(view, key) {
  return view.trials.filter((trial) => trial.stratum === key);
}

// Hyper-parameters that differ between the trials; always the method.
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

// A trial's position at each epoch, [{x, y, z, epoch}, …], without those where x or y is not finite. z: a third objective.
export function path(view, trial) {
  const [x, y, z = []] = view.objectives.map((one) => trial.metrics[one.metric] ?? []);
  return trial.epochs.map((epoch, i) => ({ x: x[i], y: y[i], z: z[i], epoch }))
    .filter((spot) => Number.isFinite(spot.x) && Number.isFinite(spot.y));
}

// The position of the trial's best checkpoint, {x, y, z, epoch}, chosen by the server; null without one.
export function best(view, trial) {
  return path(view, trial).find((spot) => spot.epoch === trial.best) ?? null;
}

// The trials to show: of the chosen fraction, with visible methods, inside the marked ranges.
export function chosen(state) {
  return byStratum(state.view, state.stratum)
    .filter((trial) => !state.hidden.has(trial.config.method ?? "") && (!state.kept || state.kept.has(trial.id)));
}

export function outcome(trial) {
  return trial.outcome ?? "running";
}

// Fronts count from 1; 1 is the front itself.
export function rankInWords(rank) {
  return rank === null || rank === undefined ? "not feasible" : rank === 0 ? "on the front" : `${rank + 1}`;
}

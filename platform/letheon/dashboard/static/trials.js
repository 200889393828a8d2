// What pages ask of a sweep's trials. Plain functions of the view.

import { number, words } from "./format.js";

const COMMON = ["seed", "forget_fraction", "batch_size", "warmup_epochs", "weight_decay"];

export function byStratum(view, key) {
  return view.trials.filter((trial) => trial.stratum === key);
}

export function methodsOf(view) {
  return [...new Set(view.trials.map((trial) => trial.config.method ?? ""))].sort();
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

// The best of a trial's checkpoints: on the front if any is, else the one with the largest share of both objectives.
export function best(view, trial, stratum) {
  const spots = path(view, trial).filter((spot) => spot.epoch > 0);
  const on = new Set(stratum.points.filter((point) => point.trial === trial.id).map((point) => point.epoch));
  const candidates = spots.some((spot) => on.has(spot.epoch)) ? spots.filter((spot) => on.has(spot.epoch)) : spots;
  return candidates.reduce((a, b) => (a && worth(view, stratum, a) >= worth(view, stratum, b) ? a : b), null);
}

function worth(view, stratum, spot) {
  const [x, y] = view.objectives.map((one) => (one.better === "min" ? -1 : 1));
  const floor = stratum.utility_floor;
  const feasible = floor === null || y * spot.y >= y * floor;
  return (feasible ? 1e6 : 0) + x * spot.x + 10 * y * spot.y;
}

export const OUTCOMES = ["running", "completed", "pruned", "collapsed", "stopped", "failed"];

export function outcome(trial) {
  return trial.outcome ?? "running";
}

// Parallel coordinates: a line a trial through its hyper-parameters and its best checkpoint, coloured by front rank.

import { chart, tip } from "./chart.js";
import { words } from "./format.js";
import { colour, rankColour } from "./palette.js";
import { best, byStratum, inShort, varied } from "./trials.js";

const LOG_SPREAD = 20;

// `events.brush(ids or null)`: the trials inside the ranges that were marked on the axes.
export function parallel(events) {
  const picture = chart("wide", "Parallel coordinates of the trials");
  let trials = [];
  picture.on("axisareaselected", () => {
    const drawn = picture.echarts, model = drawn.getModel();
    const open = model.getComponent("parallel").parallelAxisIndex
      .every((i) => !(model.getComponent("parallelAxis", i).activeIntervals ?? []).length);
    if (open) return events.brush(null);
    const kept = model.getSeries().flatMap((series) => series.getRawIndicesByActiveState("active").map((i) => series.getRawDataItem?.(i) ?? series.option.data[i]));
    events.brush(new Set(kept.map((item) => item.trial)));
  });
  picture.follow(events);
  return {
    host: picture.host,
    update(state) {
      const stratum = state.view.strata.find((one) => one.key === state.stratum);
      trials = stratum ? byStratum(state.view, state.stratum).filter((trial) => !state.hidden.has(trial.config.method)) : [];
      picture.describe(`${trials.length} trials through ${varied(trials).map(words).join(", ")} and their best checkpoint`);
      picture.draw(() => (stratum ? options(state.view, stratum, trials) : {}));
    },
    clear() { picture.redraw(); },
  };
}

function options(view, stratum, trials) {
  const names = varied(trials);
  const axes = [...names.map((name) => hyper(name, trials)), ...view.objectives.map((one) => ({ name: one.short, type: "value", scale: true, inverse: one.better === "min" }))];
  const data = trials.map((trial) => line(view, stratum, trial, names)).filter((one) => one !== null);
  return {
    parallel: { left: 56, right: 56, top: 42, bottom: 26, parallelAxisDefault: look() },
    parallelAxis: axes.map((one, dim) => ({ ...one, dim })),
    series: [{ type: "parallel", smooth: 0.25, inactiveOpacity: 0.02, activeOpacity: 0.9, progressive: 400, data: data.sort((a, b) => b.order - a.order),
      lineStyle: { width: 1.3 }, tooltip: { formatter: (item) => tip(item.data.trial, item.data.facts) } }],
  };
}

function look() {
  return {
    nameTextStyle: { color: colour("ink"), fontSize: 12 }, nameGap: 16, axisLine: { lineStyle: { color: colour("faint") } },
    axisLabel: ticks(), axisTick: { show: false }, realtime: false,
    areaSelectStyle: { width: 16, color: colour("accent"), opacity: 0.2, borderColor: colour("accent"), borderWidth: 1 },
  };
}

// Readable where lines run across them.
function ticks() {
  return { color: colour("ink"), fontSize: 11, textBorderColor: colour("surface"), textBorderWidth: 3 };
}

function hyper(name, trials) {
  const values = trials.map((trial) => trial.config[name]).filter((value) => value !== undefined);
  if (!values.every((value) => typeof value === "number")) return { name: words(name), type: "category", data: [...new Set(values.map(String))].sort() };
  const low = Math.min(...values), high = Math.max(...values);
  return low > 0 && high / low > LOG_SPREAD ? { name: words(name), type: "log", logBase: 10, min: low, max: high, axisLabel: { ...ticks(), formatter: (value) => Number(value.toPrecision(2)).toString() } }
    : { name: words(name), type: "value", scale: true };
}

function line(view, stratum, trial, names) {
  const spot = best(view, trial, stratum);
  if (!spot) return null;
  const order = trial.rank ?? 1e9;
  return {
    value: [...names.map((name) => trial.config[name] ?? "-"), spot.x, spot.y], trial: trial.id, order,
    lineStyle: { color: rankColour(trial.rank), opacity: order === 0 ? 0.95 : order <= 2 ? 0.55 : 0.28, width: order === 0 ? 2.2 : 1.1 },
    facts: [["method", trial.config.method ?? ""], ["with", inShort(trial.config)], ["best at epoch", String(spot.epoch)], ["front rank", trial.rank === null ? "not feasible" : String(trial.rank)]],
  };
}

// Parallel coordinates: one line per trial through its hyper-parameters and best checkpoint, coloured by front rank.

import { chart, tip } from "./chart.js";
import { number, words } from "./format.js";
import { colour, rankColour } from "./palette.js";
import { isLog, NONE, scale } from "./scale.js";
import { best, byStratum, inShort, rankInWords, varied } from "./trials.js";

const AXIS = "axis-";

// `events.brush(ids or null, ranges)`: the trials inside the ranges marked on the axes; null without any range.
export function parallel(events) {
  const picture = chart("wide", "parallel-coordinates", "Parallel coordinates of the trials");
  let last = "";
  picture.on("axisareaselected", () => {
    const model = picture.echarts.getModel(), ranges = {};
    model.eachComponent("parallelAxis", (axis) => { if (axis.activeIntervals?.length) ranges[axis.option.key] = axis.activeIntervals[0]; });
    const open = !Object.keys(ranges).length;
    const kept = model.getSeries().flatMap((series) => series.getRawIndicesByActiveState("active").map((i) => series.option.data[i].trial)).sort();
    const now = JSON.stringify([open, ranges, kept]);
    if (now === last) return; // a redraw marks the same ranges again
    last = now;
    events.brush(open ? null : new Set(kept), ranges);
  });
  picture.follow(events);
  return {
    host: picture.host,
    update(state) {
      const stratum = state.view.strata.find((one) => one.key === state.stratum);
      const trials = stratum ? byStratum(state.view, state.stratum).filter((trial) => !state.hidden.has(trial.config.method ?? "")) : [];
      picture.describe(`${trials.length} trials through ${varied(trials).map(words).join(", ")} and their best checkpoint`);
      const axes = stratum ? axesOf(state.view, trials) : [];
      picture.draw(() => (stratum ? options(state.view, axes, trials) : {}));
      axes.filter((axis) => state.ranges[axis.key]).forEach((axis) =>
        picture.echarts?.dispatchAction({ type: "axisAreaSelect", parallelAxisId: AXIS + axis.key, intervals: [state.ranges[axis.key]] }));
    },
  };
}

// One entry per axis: its name, where it places each trial, and its ticks.
function axesOf(view, trials) {
  const spots = new Map(trials.map((trial) => [trial.id, best(view, trial)]));
  const settings = varied(trials).map((name) => hyper(view, name, trials));
  return [...settings, ...view.objectives.map((one, i) => {
    const value = (trial) => spots.get(trial.id)?.["xyz"[i]];
    return { key: one.metric, name: one.short, value, ...scale(trials.map(value), false, one.better === "min") };
  })];
}

function hyper(view, name, trials) {
  const value = (trial) => trial.config[name] ?? null, values = trials.map(value), known = values.filter((one) => one !== null);
  const axis = { key: name, name: words(name), value };
  if (known.every((one) => typeof one === "number")) return { ...axis, ...scale(values, isLog(view, name, values)) };
  const texts = [...new Set(known.map(String))].sort(), missing = known.length < values.length;
  const place = (one) => (one === null ? NONE : texts.length > 1 ? texts.indexOf(String(one)) / (texts.length - 1) : 0.5);
  return { ...axis, place, missing, ticks: [...(missing ? [{ at: NONE, text: "none" }] : []), ...texts.map((text) => ({ at: place(text), text }))] };
}

function options(view, axes, trials) {
  return {
    parallel: { left: 62, right: 62, top: 42, bottom: 26, parallelAxisDefault: look() },
    parallelAxis: axes.map((one, dim) => ({
      dim, id: AXIS + one.key, key: one.key, name: one.name, type: "value", min: axes.some((axis) => axis.missing) ? NONE : 0, max: 1,
      axisLabel: { ...label(), customValues: one.ticks.map((tick) => tick.at), formatter: (at) => nearest(one.ticks, at) },
    })),
    series: [{ type: "parallel", smooth: 0, inactiveOpacity: 0.02, activeOpacity: 0.9, progressive: 400, lineStyle: { width: 1.3 },
      data: trials.map((trial) => line(view, axes, trial)).sort((a, b) => b.order - a.order), tooltip: { formatter: (item) => tip(item.data.trial, item.data.facts) } }],
  };
}

function nearest(ticks, at) {
  return ticks.reduce((a, b) => (Math.abs(b.at - at) < Math.abs(a.at - at) ? b : a)).text;
}

function look() {
  return {
    nameTextStyle: { color: colour("ink"), fontSize: 12 }, nameGap: 16, axisLine: { lineStyle: { color: colour("faint") } },
    axisTick: { show: false }, splitLine: { show: false }, realtime: false,
    areaSelectStyle: { width: 16, color: colour("accent"), opacity: 0.2, borderColor: colour("accent"), borderWidth: 1 },
  };
}

// Labels that stay readable where lines cross them.
function label() {
  return { color: colour("ink"), fontSize: 11, textBorderColor: colour("surface"), textBorderWidth: 3, hideOverlap: true };
}

function line(view, axes, trial) {
  const order = trial.rank ?? 1e9;
  return {
    value: axes.map((axis) => axis.place(axis.value(trial))), trial: trial.id, order,
    lineStyle: { color: rankColour(trial.rank), opacity: order === 0 ? 0.95 : order <= 2 ? 0.6 : 0.4, width: order === 0 ? 2.2 : 1.2 },
    facts: [["method", trial.config.method ?? ""], ["with", inShort(trial.config)], ["best at epoch", trial.best === null ? "none feasible" : String(trial.best)],
      ["front", rankInWords(trial.rank)], ...axes.slice(-view.objectives.length).map((axis) => [axis.name, number(axis.value(trial))])],
  };
}

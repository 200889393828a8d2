// Learning curves: one metric over the trials' epochs, with the rungs and the collapse floor.

import { axis, chart, GRID, guide, guides, tip } from "./chart.js";
import { number } from "./format.js";
import { colour, marksOf } from "./palette.js";
import { chosen, outcome } from "./trials.js";

const MANY = 200;

export function curves(events) {
  const picture = chart("middle", "learning-curves", "Learning curves");
  let shown = null;
  picture.follow(events);
  return {
    host: picture.host,
    // `state`: as for the plane, plus `metric`, and optionally `trials` to show instead of the chosen ones
    update(state) {
      const trials = state.trials ?? chosen(state), marks = marksOf(state.view);
      const look = (trial) => ({ ...marks.get(trial.config.method ?? ""), ...(state.tones && { colour: state.tones.get(trial.id), dash: "solid" }) });
      shown = { ...state, trials, look };
      const name = state.view.metrics.find((one) => one.name === state.metric)?.label ?? state.metric;
      picture.describe(`${name} over the epochs of ${trials.length} trials`);
      picture.draw(() => options(shown, name));
    },
    focus(trial) {
      if (!shown) return;
      shown.focus = trial;
      picture.merge({ series: [focused(shown)] });
    },
  };
}

function points(trial, metric) {
  const values = trial.metrics[metric] ?? [];
  return trial.epochs.map((epoch, i) => [epoch, values[i]]).filter((point) => Number.isFinite(point[1]));
}

function options(shown, name) {
  const last = Math.max(1, shown.view.rules.max_epochs ?? 0, ...shown.trials.map((trial) => trial.epochs.at(-1) ?? 0));
  return {
    grid: { ...GRID, left: 54, top: 24, right: 30 },
    xAxis: axis("epoch", { min: 0, max: last, minInterval: 1, splitLine: { show: false } }),
    yAxis: axis(name, { nameGap: 40 }),
    series: [extent(shown), lines(shown), tips(shown), rules(shown), focused(shown)],
  };
}

// ECharts ignores series of type "lines" when it scales an axis: these invisible points span the curves' range.
function extent(shown) {
  const values = shown.trials.flatMap((trial) => points(trial, shown.metric).map((point) => point[1]));
  const ends = values.length ? [Math.min, Math.max].map((most) => values.reduce((a, b) => most(a, b))) : [];
  return { id: "extent", type: "scatter", silent: true, symbolSize: 0, data: ends.map((value) => [0, value]) };
}

function lines(shown) {
  const dashed = shown.trials.length <= MANY;
  const data = shown.trials.map((trial) => ({ coords: points(trial, shown.metric), lineStyle: { color: shown.look(trial).colour, type: dashed ? shown.look(trial).dash : "solid" } }))
    .filter((one) => one.coords.length > 1);
  return { id: "lines", type: "lines", coordinateSystem: "cartesian2d", polyline: true, silent: true, z: 1, data,
    lineStyle: { width: 1.2, opacity: shown.tones ? 1 : Math.max(0.12, Math.min(0.6, 25 / Math.max(1, data.length))) } };
}

// The last point of each curve, which reacts to the pointer.
function tips(shown) {
  const data = shown.trials.flatMap((trial) => {
    const last = points(trial, shown.metric).at(-1);
    return last ? [{ value: last, trial: trial.id, symbol: shown.look(trial).symbol, itemStyle: { color: shown.look(trial).colour } }] : [];
  });
  const size = data.length > MANY ? 4 : 7;
  return { id: "tips", type: "scatter", z: 3, symbolSize: size, data, tooltip: { formatter: (item) => {
    const trial = shown.trials.find((one) => one.id === item.data.trial);
    return tip(`${trial.id} · ${trial.config.method ?? ""}`, [[`epoch ${item.value[0]}`, number(item.value[1])], ["trial", outcome(trial)]]);
  } } };
}

function rules(shown) {
  const data = shown.view.rules.rungs.map((rung) => ({ ...guide({ xAxis: rung }, `rung ${rung}`), label: { formatter: `rung ${rung}`, position: "end", rotate: 0, color: colour("muted"), fontSize: 11 } }));
  const collapse = shown.view.rules.collapse;
  if (collapse && shown.metric === "utility_ratio") data.push(guide({ yAxis: collapse.floor }, "collapse floor", "fail"));
  return guides(data);
}

function focused(shown) {
  const trial = shown.trials.find((one) => one.id === shown.focus), tone = trial ? shown.look(trial).colour : "transparent";
  return { id: "focus", type: "line", z: 5, silent: true, symbolSize: 5, data: trial ? points(trial, shown.metric) : [],
    lineStyle: { width: 2.6, color: tone }, itemStyle: { color: tone } };
}

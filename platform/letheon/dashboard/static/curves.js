// Learning curves: one metric over the epochs of every trial, with the rungs and the collapse floor.

import { axis, chart, GRID, guide, guides, tip } from "./chart.js";
import { number } from "./format.js";
import { colour, methodColours } from "./palette.js";
import { byStratum, methodsOf, outcome } from "./trials.js";

export function curves(events) {
  const picture = chart("middle", "Learning curves");
  let shown = null;
  picture.follow(events);
  return {
    host: picture.host,
    // `state`: as for the plane, and `metric`: which one
    update(state) {
      const trials = byStratum(state.view, state.stratum)
        .filter((trial) => !state.hidden.has(trial.config.method) && (!state.kept || state.kept.has(trial.id)));
      shown = { ...state, trials, colours: methodColours(methodsOf(state.view)) };
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
    grid: { ...GRID, left: 54 },
    xAxis: axis("epoch", { min: 0, max: last, minInterval: 1, splitLine: { show: false } }),
    yAxis: axis(name, { nameGap: 40 }),
    series: [lines(shown), tips(shown), rules(shown), focused(shown)],
  };
}

function lines(shown) {
  const data = shown.trials.map((trial) => ({ coords: points(trial, shown.metric), lineStyle: { color: shown.colours.get(trial.config.method ?? "") } }))
    .filter((one) => one.coords.length > 1);
  return { id: "lines", type: "lines", coordinateSystem: "cartesian2d", polyline: true, silent: true, z: 1, data,
    lineStyle: { width: 1.2, opacity: Math.max(0.12, Math.min(0.6, 25 / Math.max(1, data.length))) } };
}

// The last point of every curve is what the pointer catches.
function tips(shown) {
  const data = shown.trials.flatMap((trial) => {
    const last = points(trial, shown.metric).at(-1);
    return last ? [{ value: last, trial: trial.id, itemStyle: { color: shown.colours.get(trial.config.method ?? "") } }] : [];
  });
  const size = data.length > 200 ? 4 : 6;
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
  const trial = shown.trials.find((one) => one.id === shown.focus);
  return { id: "focus", type: "line", z: 5, silent: true, symbolSize: 5, data: trial ? points(trial, shown.metric) : [],
    lineStyle: { width: 2.6, color: trial ? shown.colours.get(trial.config.method ?? "") : "transparent" }, itemStyle: { color: trial ? shown.colours.get(trial.config.method ?? "") : "transparent" } };
}

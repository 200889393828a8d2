// Slices: an objective at each trial's best checkpoint, against one hyper-parameter per chart.

import { axis, chart, tip } from "./chart.js";
import { el, fill } from "./dom.js";
import { number, plural, shown, words } from "./format.js";
import { colour, marksOf } from "./palette.js";
import { isLog, scale } from "./scale.js";
import { best, chosen, varied } from "./trials.js";

export function slices(events) {
  const grid = el("div", { class: "slices" }), note = el("p", { class: "small muted" }), host = el("div", {}, grid, note);
  const pictures = new Map();

  function picture(name) {
    if (!pictures.has(name)) {
      pictures.set(name, chart("small", `slice-${name}`, `The objective against ${words(name)}`));
      pictures.get(name).follow(events);
    }
    return pictures.get(name);
  }

  return {
    host,
    // `state`: as for the plane, plus `slice`: the objective's metric, null for the first objective
    update(state) {
      const { view } = state, goal = view.objectives.find((one) => one.metric === state.slice) ?? view.objectives[0];
      const all = chosen(state), found = all.map((trial) => ({ trial, value: best(view, trial)?.["xyz"[view.objectives.indexOf(goal)]] })).filter((one) => Number.isFinite(one.value));
      const names = varied(all);
      pictures.forEach((one, name) => { if (!names.includes(name)) { one.dispose(); pictures.delete(name); } });
      const hosts = names.map((name) => picture(name).host);
      if (hosts.length !== grid.children.length || hosts.some((one, i) => grid.children[i] !== one)) fill(grid, hosts);
      names.forEach((name) => {
        const having = found.filter(({ trial }) => trial.config[name] !== undefined);
        picture(name).describe(`${goal.label} against ${words(name)} of ${plural(having.length, "trial")}`);
        picture(name).draw(() => options(view, goal, name, having));
      });
      const left = all.length - found.length;
      fill(note, "Each point is a trial at its best epoch; trials without the hyper-parameter are left out.", left > 0 && ` ${plural(left, "trial")} without a feasible checkpoint ${left === 1 ? "is" : "are"} not shown.`);
    },
  };
}

function options(view, goal, name, found) {
  const marks = marksOf(view), values = found.map(({ trial }) => trial.config[name]), numbers = values.every((value) => typeof value === "number");
  const texts = [...new Set(values.map(String))].sort();
  return {
    grid: { left: 50, right: 14, top: 12, bottom: 44 },
    xAxis: axis(words(name), numbers ? range(values, isLog(view, name, values)) : { type: "category", data: texts }),
    yAxis: axis(goal.short, { nameGap: 36, inverse: goal.better === "min" }),
    series: [...marks].map(([method, mark]) => ({
      id: method, type: "scatter", symbol: mark.symbol, symbolSize: found.length > 200 ? 5 : 8, itemStyle: { color: mark.colour, opacity: 0.8 },
      data: found.filter(({ trial }) => (trial.config.method ?? "") === method).map(({ trial, value }) => ({ value: [numbers ? trial.config[name] : String(trial.config[name]), value], trial: trial.id, setting: trial.config[name], epoch: trial.best })),
      tooltip: { formatter: ({ data }) => tip(`${data.trial} after epoch ${data.epoch} · ${method}`, [[words(name), shown(data.setting)], [goal.short, number(data.value[1])]]) },
    })),
  };
}

function range(values, log) {
  const ticks = scale(values, log).ticks, ends = { min: ticks[0].value, max: ticks.at(-1).value };
  const label = { hideOverlap: true, color: colour("muted"), customValues: ticks.map((tick) => tick.value), formatter: (value) => String(Number(value.toPrecision(3))) };
  return { ...ends, axisLabel: label, splitLine: { show: false }, ...(log && { type: "log", scale: false }) };
}

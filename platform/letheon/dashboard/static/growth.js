// The hypervolume of each forget fraction over the compute spent.

import { axis, chart, GRID, tip } from "./chart.js";
import { fraction, percent } from "./format.js";
import { colour } from "./palette.js";

const HOUR = 3600;

export function growth() {
  const picture = chart("middle", "hypervolume", "Hypervolume over compute");
  return {
    host: picture.host,
    // `state`: {view, stratum, unit: "epochs" or "hours"}
    update(state) {
      const ends = Object.entries(state.view.growth).map(([key, steps]) => `${fraction(key)}: ${percent(steps.at(-1)?.[2])}`);
      picture.describe(`The fronts' shares of the possible hypervolume: ${ends.join(", ") || "none yet"}`);
      picture.draw(() => options(state));
    },
  };
}

function options(state) {
  const hours = state.unit === "hours";
  const keys = Object.keys(state.view.growth);
  return {
    grid: { ...GRID, right: 60 },
    xAxis: axis(hours ? "slot-hours" : "trial-epochs of the sweep", { min: 0, scale: false, splitLine: { show: false } }),
    yAxis: axis("share of possible hypervolume", { min: 0, max: 1, nameGap: 40, axisLabel: { formatter: (value) => percent(value), color: colour("muted") } }),
    series: keys.map((key, i) => series(state, key, i, hours)),
  };
}

function series(state, key, i, hours) {
  const on = key === state.stratum, tone = on ? colour("accent") : colour(`series-${(i + 1) % 8}`);
  const steps = state.view.growth[key];
  const data = [[0, 0], ...steps.map(([epochs, seconds, share]) => [hours ? seconds / HOUR : epochs, share])];
  return {
    id: key, type: "line", step: "end", symbol: "circle", symbolSize: on ? 5 : 3, data, z: on ? 3 : 2,
    lineStyle: { color: tone, width: on ? 2.4 : 1.3, opacity: on ? 1 : 0.6 }, itemStyle: { color: tone },
    areaStyle: on ? { color: tone, opacity: 0.07 } : null,
    labelLayout: { moveOverlap: "shiftY" },
    endLabel: { show: true, padding: [3, 0], formatter: fraction(key), color: tone, fontWeight: on ? 650 : 400 },
    tooltip: { formatter: (item) => tip(`forget ${fraction(key)}`, [[hours ? "slot-hours" : "trial-epochs", String(Number(item.value[0].toFixed(2)))], ["share of possible hypervolume", percent(item.value[1], 1)]]) },
  };
}

// The capacity curve: each method's best forget quality per fraction, among checkpoints that keep the utility.

import { axis, chart, GRID, guide, guides, tip } from "./chart.js";
import { fraction, number, percent } from "./format.js";
import { el, fill } from "./dom.js";
import { colour, marksOf } from "./palette.js";

const LOWEST = -20;

export function capacity() {
  const picture = chart("middle", "capacity", "How much can be forgotten"), answer = el("p", { style: { margin: 0 } });
  return {
    host: el("div", {}, answer, picture.host),
    update(state) {
      const { capacity: most, utility_kept: kept } = state.view.capacity;
      const sentence = most ? " can be forgotten with at least " : "No fraction is forgotten with at least ";
      fill(answer, most && el("b", {}, fraction(most)), `${sentence}${percent(kept)} of the utility kept.`);
      picture.describe(answer.textContent);
      picture.draw(() => options(state.view));
    },
  };
}

function options(view) {
  const found = view.capacity, marks = marksOf(view);
  const keys = [...new Set(found.reaches.map((reach) => reach.fraction))].sort((a, b) => a - b);
  return {
    grid: { ...GRID, left: 50 },
    xAxis: axis("forget fraction", { type: "category", data: keys.map(fraction), boundaryGap: keys.length < 2 }),
    yAxis: axis("best log₁₀ forget quality", { nameGap: 32, max: 0 }),
    series: [...marks].map(([method, mark]) => ({
      id: method, type: "line", data: keys.map((key) => point(found.reaches, method, key)), connectNulls: false, symbol: mark.symbol, symbolSize: 8,
      lineStyle: { color: mark.colour, width: 1.8, type: mark.dash }, itemStyle: { color: mark.colour },
      tooltip: { formatter: (item) => tip(`${method} at ${item.name}`, facts(found.reaches, method, keys[item.dataIndex])) },
    })).concat([guides([guide({ yAxis: Math.log10(found.forgotten_above) }, `p = ${found.forgotten_above}`, "good")])]),
    color: [colour("accent")],
  };
}

function resultOf(results, method, key) {
  return results.find((one) => one.method === method && one.fraction === key);
}

function point(results, method, key) {
  const quality = resultOf(results, method, key)?.forget_quality;
  return typeof quality === "number" ? Math.max(LOWEST, Math.log10(Math.max(quality, 1e-300))) : null;
}

function facts(results, method, key) {
  const result = resultOf(results, method, key);
  return [["checkpoint", `${result.trial}@${result.epoch}`], ["forget quality p", number(result.forget_quality)], ["of the target's utility", percent(result.utility_ratio, 1)], ["trials", String(result.trials)]];
}

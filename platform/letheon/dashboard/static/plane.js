// The plane of forgetting and utility: all checkpoints and trial paths, the front, the target and retain models.

import { axis, chart, GRID, guide, guides, insideOf, tip } from "./chart.js";
import { number, percent } from "./format.js";
import { colour, marksOf } from "./palette.js";
import { chosen, inShort, outcome, path } from "./trials.js";

const STAR = "path://M0,-10 L2.6,-3.4 9.5,-3.1 4.1,1.3 5.9,8.1 0,4.2 -5.9,8.1 -4.1,1.3 -9.5,-3.1 -2.6,-3.4 Z";
const CROSS = "path://M-5,-3.4 L-3.4,-5 0,-1.6 3.4,-5 5,-3.4 1.6,0 5,3.4 3.4,5 0,1.6 -3.4,5 -5,3.4 -1.6,0 Z";
const FORGOTTEN = Math.log10(0.05);
const MANY = 200;
const P_VALUES = ["log10_forget_quality", "log10_loss_quality"];

// `events`: {hover(trial id or null), open(trial id)}.
export function plane(events) {
  const picture = chart("tall", "front", "Checkpoints in the plane of forgetting and utility");
  let shown = null;
  picture.follow(events);
  return {
    host: picture.host,
    // `state`: {view, stratum key, hidden methods, kept trial ids or null, paths: bool, near: bool, focus}, and optionally
    // `tones`: a colour per trial, instead of one per method
    update(state) {
      shown = { ...prepare(state), label: insideOf(picture) };
      picture.describe(sentence(shown));
      picture.draw(() => options(shown));
    },
    focus(trial) {
      if (!shown) return;
      shown.focus = trial;
      picture.merge({ series: [focused(shown)] });
    },
  };
}

function prepare(state) {
  const stratum = state.view.strata.find((one) => one.key === state.stratum) ?? null;
  const marks = marksOf(state.view), methods = new Map(state.view.trials.map((one) => [one.id, one.config.method ?? ""]));
  const look = (trial) => {
    const mark = marks.get(methods.get(trial));
    return state.tones ? { ...mark, colour: state.tones.get(trial) ?? colour("faint") } : mark;
  };
  return { ...state, stratum, trials: chosen(state), marks, look };
}

function sentence(shown) {
  const { stratum, view } = shown;
  if (!stratum) return "No checkpoints yet";
  const front = stratum.points.map((p) => `${p.trial} at epoch ${p.epoch}`).join(", ") || "none";
  return `${shown.trials.length} trials in the plane of ${view.objectives[0].label} and ${view.objectives[1].label}. On the front: ${front}.${shown.view.objectives[2] ? ` Larger marks on the front: better ${shown.view.objectives[2].label}.` : ""}`;
}

function options(shown) {
  const { view, stratum } = shown;
  const [x, y] = view.objectives;
  return {
    grid: { ...GRID, top: 22 },
    xAxis: axis(x.label, { inverse: x.better === "min", nameGap: 30 }),
    yAxis: axis(y.label, { inverse: y.better === "min", nameGap: 42, ...(shown.near ? near(shown) : {}) }),
    dataZoom: [{ type: "inside", xAxisIndex: 0, filterMode: "none", zoomOnMouseWheel: "ctrl" },
      { type: "inside", yAxisIndex: 0, filterMode: "none", zoomOnMouseWheel: "ctrl" }],
    series: stratum ? [paths(shown), ...checkpoints(shown), ends(shown), regions(shown), staircase(shown), ...fronts(shown),
      ...means(shown), ...models(shown), focused(shown)] : [],
  };
}

// From slightly below the utility floor to the top, because collapsed checkpoints would squeeze the front into a line.
function near(shown) {
  const floor = shown.stratum?.utility_floor, y = shown.view.objectives[1];
  if (!Number.isFinite(floor) || y.better === "min") return {};
  const values = shown.trials.flatMap((trial) => path(shown.view, trial).map((spot) => spot.y));
  const top = Math.max(...values, shown.stratum.target_utility ?? floor, shown.stratum.retain?.[1] ?? floor);
  const reach = top - floor;
  return { min: Number((floor - 0.35 * reach).toPrecision(2)), max: Number((top + 0.12 * reach).toPrecision(3)) };
}

function paths(shown) {
  const dashed = shown.trials.length <= MANY;
  const data = !shown.paths ? [] : shown.trials.map((trial) => ({
    coords: path(shown.view, trial).map((spot) => [spot.x, spot.y]),
    lineStyle: { color: shown.look(trial.id).colour, type: dashed ? shown.look(trial.id).dash : "solid" },
  })).filter((one) => one.coords.length > 1);
  const opacity = shown.tones ? 0.9 : Math.max(0.07, Math.min(0.35, 14 / Math.max(1, data.length)));
  return { id: "paths", type: "lines", coordinateSystem: "cartesian2d", polyline: true, silent: true, z: 1, data, lineStyle: { width: 1.1, opacity } };
}

// One series per method: the checkpoints that are not on the front, small and pale.
function checkpoints(shown) {
  const front = new Set(shown.stratum.points.map((point) => `${point.trial}@${point.epoch}`));
  const size = shown.trials.length > MANY ? 4 : 6;
  return [...shown.marks].map(([method, mark]) => ({
    id: `checkpoints-${method}`, type: "scatter", z: 2, symbol: mark.symbol, symbolSize: size, itemStyle: { opacity: 0.5 },
    tooltip: { formatter: (item) => describe(shown, item.data) },
    data: shown.trials.filter((trial) => (trial.config.method ?? "") === method).flatMap((trial) =>
      path(shown.view, trial).filter((spot) => spot.epoch > 0 && !front.has(`${trial.id}@${spot.epoch}`))
        .map((spot) => ({ value: [spot.x, spot.y], trial: trial.id, epoch: spot.epoch, itemStyle: { color: shown.look(trial.id).colour } }))),
  }));
}

// Where the scheduler stopped a trial.
function ends(shown) {
  const data = shown.trials.filter((trial) => ["pruned", "collapsed"].includes(trial.outcome)).flatMap((trial) => {
    const last = path(shown.view, trial).at(-1);
    return last && last.epoch > 0 ? [{ value: [last.x, last.y], trial: trial.id, epoch: last.epoch }] : [];
  });
  const size = shown.trials.length > MANY ? 6 : 9;
  return { id: "ends", type: "scatter", z: 3, symbol: CROSS, symbolSize: size, data, itemStyle: { color: colour("muted"), opacity: 0.75 },
    tooltip: { formatter: (item) => describe(shown, item.data) } };
}

// The region where a checkpoint has forgotten, and the utility floor.
function regions(shown) {
  const [x] = shown.view.objectives, floor = shown.stratum.utility_floor;
  const lines = [], areas = [];
  if (P_VALUES.includes(x.metric)) {
    lines.push(guide({ xAxis: FORGOTTEN }, "p > 0.05", "good", "insideStartBottom"));
    areas.push([{ xAxis: FORGOTTEN, itemStyle: { color: colour("good"), opacity: 0.06 } }, { xAxis: "max" }]);
  }
  if (Number.isFinite(floor)) lines.push({ ...guide({ yAxis: floor }, "utility floor", "bad"), label: { formatter: "utility floor", position: "insideStartTop", color: colour("muted"), fontSize: 11.5 } });
  return guides(lines, areas);
}

// The front's staircase: the checkpoints so far dominate everything to the left of and below this line.
function staircase(shown) {
  const points = stairs(shown);
  if (!points.length) return { id: "staircase", type: "line", data: [] };
  const floor = shown.stratum.utility_floor;
  const corner = [...points, ...shown.trials.flatMap((trial) => path(shown.view, trial).map((spot) => [spot.x, spot.y]))];
  const worst = shown.view.objectives[0].better === "min" ? Math.max(...corner.map((p) => p[0])) : Math.min(...corner.map((p) => p[0]));
  const data = [[worst, points[0][1]], ...points, ...(Number.isFinite(floor) ? [[points.at(-1)[0], floor]] : [])];
  return { id: "staircase", type: "line", step: "start", symbol: "none", silent: true, z: 4, data, lineStyle: { color: colour("ink"), width: 1.4, opacity: 0.8 } };
}

// The front's points by rising first objective, without those that only a third objective keeps on the front.
function stairs(shown) {
  const [[x, right], [y, up]] = shown.view.objectives.map((one) => [one.metric, one.better === "min" ? -1 : 1]);
  const points = shown.stratum.points.map((point) => [point.metrics[x], point.metrics[y]]);
  const beaten = (a) => points.some((b) => right * (b[0] - a[0]) >= 0 && up * (b[1] - a[1]) >= 0 && (b[0] !== a[0] || b[1] !== a[1]));
  return points.filter((point) => !beaten(point)).sort((a, b) => right * (a[0] - b[0]));
}

// The size of a front point's mark: the better its third objective among the front's, the larger.
function sizeOf(shown, point) {
  const z = shown.view.objectives[2];
  if (!z) return 12;
  const values = shown.stratum.points.map((one) => one.metrics[z.metric]), [low, high] = [Math.min(...values), Math.max(...values)];
  const place = high > low ? (point.metrics[z.metric] - low) / (high - low) : 0.5;
  return 9 + 10 * (z.better === "min" ? 1 - place : place);
}

// The knee's label has its own series: its larger symbol is placed first, and other labels avoid it.
function fronts(shown) {
  const [x, y] = shown.view.objectives, [trial, epoch] = shown.stratum.knee ?? [];
  const data = shown.stratum.points.map((point) => {
    const mark = shown.look(point.trial), knee = point.trial === trial && point.epoch === epoch;
    return {
      value: [point.metrics[x.metric], point.metrics[y.metric]], trial: point.trial, epoch: point.epoch, symbol: mark.symbol, symbolSize: sizeOf(shown, point),
      itemStyle: { color: mark.colour }, label: { show: !knee, formatter: `${point.trial}@${point.epoch}` },
    };
  });
  const ring = data.filter((one) => one.trial === trial && one.epoch === epoch);
  const label = { show: true, position: "top", color: colour("ink"), fontSize: 11, textBorderColor: colour("surface"), textBorderWidth: 3 };
  return [
    { id: "front", type: "scatter", z: 7, symbolSize: 12, data, itemStyle: { borderColor: colour("surface"), borderWidth: 1.5 },
      label, labelLayout: shown.label, tooltip: { formatter: (item) => describe(shown, item.data) } },
    { id: "knee", type: "scatter", z: 8, symbolSize: 23, silent: true, data: ring.map((one) => one.value),
      itemStyle: { color: "transparent", borderColor: colour("ink"), borderWidth: 1.6 },
      label: { ...label, fontWeight: 700, formatter: `${trial}@${epoch}  knee` }, labelLayout: shown.label },
  ];
}

// The front of means over seeds, each with its interval in both directions.
function means(shown) {
  const [x, y] = shown.view.objectives, points = shown.view.means[shown.stratum.key] ?? [];
  const data = points.map((point) => ({ value: [point.metrics[x.metric], point.metrics[y.metric]], point, itemStyle: { borderColor: shown.marks.get(point.config.method ?? "").colour } }));
  const bars = points.flatMap((point) => [[x, y], [y, x]].flatMap(([along, across]) => {
    const [low, high] = point.interval[along.metric] ?? [], at = point.metrics[across.metric];
    if (!Number.isFinite(low) || !Number.isFinite(high)) return [];
    return [{ coords: along === x ? [[low, at], [high, at]] : [[at, low], [at, high]], lineStyle: { color: shown.marks.get(point.config.method ?? "").colour } }];
  }));
  return [
    { id: "intervals", type: "lines", coordinateSystem: "cartesian2d", silent: true, z: 5, data: bars, lineStyle: { width: 1.4, opacity: 0.9 } },
    { id: "means", type: "scatter", z: 6, symbol: "rect", symbolSize: 9, data, itemStyle: { color: colour("surface"), borderWidth: 1.8 },
      tooltip: { formatter: (item) => tip(`mean of ${item.data.point.seeds} seeds after epoch ${item.data.point.epoch}`, [["trials", item.data.point.trials.join(", ")], [x.short, spread(item.data.point, x.metric)], [y.short, spread(item.data.point, y.metric)]]) } },
  ];
}

// A mean and its 95% interval.
export function spread(point, metric) {
  const [low, high] = point.interval[metric] ?? [];
  return `${number(point.metrics[metric])} (${number(low)} … ${number(high)})`;
}

// Hollow and on top: a checkpoint that is where the target or the retain model is hides neither, nor is hidden.
function models(shown) {
  const mark = (id, spot, symbol, size, name) => ({
    id, type: "scatter", z: 9, symbol, symbolSize: size, data: spot ? [{ value: spot, name }] : [], itemStyle: { color: "transparent", borderColor: colour("ink"), borderWidth: 1.7 },
    tooltip: { formatter: () => tip(name, shown.view.objectives.slice(0, 2).map((one, i) => [one.short, number(spot[i])])) },
  });
  return [mark("target", shown.stratum.target, "diamond", 19, "target model"), mark("retain", shown.stratum.retain, STAR, 24, "retain model")];
}

// The path of the trial under the pointer, here or in the table.
function focused(shown) {
  const trial = shown.trials.find((one) => one.id === shown.focus);
  const tone = trial ? shown.look(trial.id).colour : "transparent";
  const spots = trial ? path(shown.view, trial) : [];
  return {
    id: "focus", type: "line", z: 8, silent: true, symbol: "circle", symbolSize: 6, data: spots.map((spot) => ({ value: [spot.x, spot.y], epoch: spot.epoch })),
    lineStyle: { color: tone, width: 2.4 }, itemStyle: { color: tone, borderColor: colour("surface"), borderWidth: 1 },
    label: { show: spots.length > 0 && spots.length < 30, formatter: (item) => String(item.data.epoch), fontSize: 10, color: colour("muted"), position: "right" },
  };
}

export function describe(shown, data) {
  const trial = shown.view.trials.find((one) => one.id === data.trial);
  const i = trial.epochs.indexOf(data.epoch);
  const facts = shown.view.metrics.filter((one) => Number.isFinite(trial.metrics[one.name]?.[i]))
    .map((one) => [one.short, one.name === "utility_ratio" ? percent(trial.metrics[one.name][i], 1) : number(trial.metrics[one.name][i])]);
  return tip(`${trial.id} after epoch ${data.epoch} · ${trial.config.method ?? ""}`,
    [["with", inShort(trial.config)], ...facts, ["trial", outcome(trial)]]);
}

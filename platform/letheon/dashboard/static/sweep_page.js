// One sweep, live: the front, how it came about, what it cost, and every trial.

import { capacity } from "./capacity.js";
import { bar, cost, importance } from "./costs.js";
import { curves } from "./curves.js";
import { card, choice, command, el, fill } from "./dom.js";
import { duration, fraction, moment, number, percent, plural, words } from "./format.js";
import { growth } from "./growth.js";
import { methodColours } from "./palette.js";
import { parallel } from "./parallel.js";
import { plane, spread } from "./plane.js";
import { trialTable } from "./table.js";
import { inShort, methodsOf } from "./trials.js";

const IMPORTANCE_EVERY = 15000;

export function sweepPage(source, key, place, crumbs, go) {
  const parts = layout(), state = { view: null, stratum: null, hidden: new Set(), kept: null, paths: true, near: true, focus: null, metric: null, unit: "epochs" };
  let over = false, asking = false, again = false, weighed = 0, shares = null;
  const events = {
    hover(trial) {
      if (state.focus === trial) return;
      state.focus = trial;
      [views.plane, views.curves, views.table].forEach((one) => one.focus(trial));
    },
    open: (trial) => go(trial),
    href: (trial) => `#/sweeps/${encodeURIComponent(key)}/trials/${encodeURIComponent(trial)}`,
    brush(kept) { state.kept = kept; [views.plane, views.curves, views.table].forEach((one) => one.update(state)); brushed(state); },
  };
  const views = { plane: plane(events), curves: curves(events), growth: growth(), parallel: parallel(events), importance: importance(), capacity: capacity(), cost: cost(), table: trialTable(events) };
  fill(place, parts.head, parts.strata, parts.body);

  function redraw() {
    const { view } = state;
    if (!view.strata.some((one) => one.key === state.stratum)) state.stratum = view.strata.at(-1)?.key ?? null;
    if (!view.metrics.some((one) => one.name === state.metric)) state.metric = "utility_ratio";
    head(parts.head, view, source.live);
    tabs(parts.strata, view, state.stratum, (chosen) => { state.stratum = chosen; state.kept = null; redraw(); });
    if (!view.strata.length) return fill(parts.body, waiting(view));
    if (!parts.built) { fill(parts.body, build(state, views, redraw)); parts.built = true; }
    chips(state, redraw);
    knee(view, state.stratum);
    verdicts(view);
    Object.entries(views).forEach(([name, one]) => {
      if (name === "importance") one.update(shares, state.stratum);
      else if (name === "cost") one.update(view);
      else one.update(state);
    });
    weigh();
  }

  async function weigh() {
    const busy = state.view.state === "running" && Date.now() - weighed < IMPORTANCE_EVERY;
    if (busy || weighed === -1 || shares?.version === state.view.version) return;
    weighed = Date.now();
    try {
      shares = { ...await source.importance(key), version: state.view.version };
      if (!over) views.importance.update(shares, state.stratum);
    } catch { weighed = -1; /* the rest of the page does without */ }
  }

  async function look() {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const view = await source.sweep(key, state.view);
      if (over) return;
      state.view = view;
      fill(crumbs, el("span", {}, view.name));
      document.title = `${view.name} · Letheon`;
      redraw();
    } catch (error) {
      if (!over) failed(place, parts, state.view, error);
    } finally {
      asking = false;
      if (again && !over) { again = false; look(); }
    }
  }
  const stop = source.watch(key, look);
  return () => { over = true; stop(); };
}

function layout() {
  return { head: el("div", {}), strata: el("div", { class: "strata", role: "tablist", "aria-label": "Forget fraction" }), body: el("div", {}), built: false };
}

function failed(place, parts, view, error) {
  const banner = el("div", { class: "banner fail", role: "alert" }, error.message);
  if (view) parts.head.prepend(banner); // what was there stays readable
  else fill(place, banner);
}

// -- the head: what it is, how it is, how far

function head(node, view, live) {
  const counts = Object.entries(view.counts).map(([name, count]) => `${count} ${name}`).join(", ");
  const fact = (value, ...text) => value !== null && value !== undefined && el("span", {}, el("b", {}, value), " ", text);
  fill(node,
    el("div", { class: "head" }, el("h1", {}, view.name), el("span", { class: `pill ${view.state}`, role: "status" }, view.state),
      view.links.mlflow && el("a", { href: view.links.mlflow, rel: "noreferrer" }, "in MLflow")),
    el("p", { class: "facts" },
      fact(view.planned ? `${view.done} of ${view.planned}` : view.done, "trials", counts && ` (${counts})`), fact(view.epochs, "epochs"),
      fact(duration(view.seconds)), view.benchmark && el("span", {}, `${view.benchmark}, ${view.model}`),
      view.searcher && el("span", {}, `${view.searcher} search, ${view.scheduler}`), view.began && el("span", {}, moment(view.began))),
    banners(view), live && ["running", "preparing"].includes(view.state) && progress(view));
}

function banners(view) {
  const found = [];
  if (view.state === "interrupted") found.push(el("div", { class: "banner" }, el("span", {}, `Interrupted: ${view.detail ?? "its driver is gone"}. Nothing finished is lost; go on with`), command(`letheon resume ${view.name}${view.options}`)));
  if (view.state === "failed") found.push(el("div", { class: "banner fail", role: "alert" }, `Failed: ${view.detail ?? "no reason was recorded"}`));
  if (view.tracking?.state === "degraded") found.push(el("div", { class: "banner" }, `Tracking is degraded since ${moment(view.tracking.since)}: ${view.tracking.cause ?? ""} Training goes on; ${plural(view.tracking.behind, "row")} wait in the journal.`));
  return found;
}

function progress(view) {
  const limits = view.budget.length ? view.budget : [];
  return el("div", { class: "progress" }, limits.flatMap((limit) => [
    el("span", {}, limit.name.replaceAll("_", " ")), bar([[limit.used / limit.limit, "accent"]]), el("span", { class: "numbers" }, `${number(limit.used)} of ${number(limit.limit)}`)]));
}

function tabs(node, view, chosen, pick) {
  fill(node, view.strata.map((one) => el("button", { type: "button", role: "tab", "aria-selected": String(one.key === chosen), onclick: () => pick(one.key), onkeydown: (event) => step(event, node) },
    el("span", { class: "small muted" }, "forget"), el("span", { class: "big" }, fraction(one.key)),
    el("span", { class: "small muted" }, one.points.length ? `${plural(one.points.length, "point")}, ${percent(one.share)} of the box` : "no front yet"))));
}

function step(event, node) {
  const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!move) return;
  const all = [...node.children], next = (all.indexOf(event.currentTarget) + move + all.length) % all.length;
  all[next].click();
  node.children[next].focus();
}

function waiting(view) {
  const text = {
    preparing: "The target model and the retain models are being made. The first trials appear here when the search begins.",
    running: "The first trial has not begun yet.", failed: "It failed before its first trial.", interrupted: "It was interrupted before its first trial.",
  }[view.state] ?? "It has no trials.";
  return el("div", { class: "card empty" }, el("p", {}, text));
}

// -- the cards

const ids = { chips: "chips", knee: "knee", verdicts: "verdicts", brush: "brush" };

function build(state, views, redraw) {
  const metrics = el("select", { "aria-label": "Metric of the curves", onchange: (event) => { state.metric = event.target.value; views.curves.update(state); } },
    state.view.metrics.map((one) => el("option", { value: one.name, selected: one.name === state.metric }, one.label)));
  const titled = (width, title, tools, ...content) => el("section", { class: `card ${width}` }, el("header", {}, el("h2", {}, title), tools), ...content);
  return el("div", { class: "grid" },
    titled("w8", "Forgetting against utility", el("span", { class: "tools" }, choice("Part of the plane", [[true, "around the front"], [false, "everything"]], state.near, (on) => { state.near = on; views.plane.update(state); }),
      choice("Paths of the trials", [[true, "paths"], [false, "points only"]], state.paths, (on) => { state.paths = on; views.plane.update(state); })),
      el("div", { id: ids.chips, class: "chips", role: "group", "aria-label": "Methods" }), views.plane.host, marks()),
    el("section", { class: "card w4", id: ids.knee }),
    titled("w6", "Learning curves", metrics, views.curves.host),
    titled("w6", "Hypervolume over compute", choice("Compute", [["epochs", "trial-epochs"], ["hours", "slot-hours"]], state.unit, (unit) => { state.unit = unit; views.growth.update(state); }), views.growth.host),
    titled("w12", "Parallel coordinates", el("span", { id: ids.brush, class: "small muted" }), el("div", { class: "scroll" }, views.parallel.host), ranks()),
    titled("w4", "What matters", null, views.importance.host), titled("w4", "How much can be forgotten", null, views.capacity.host), titled("w4", "Cost", null, views.cost.host),
    titled("w12", "Trials", el("span", { class: "head", style: { margin: 0 } }, views.table.count, views.table.search), views.table.host),
    el("section", { class: "card w12", id: ids.verdicts }));

}

function ranks() {
  return el("p", { class: "small muted" }, "Drag along an axis to keep only the trials inside a range, everywhere on this page; click the axis to let all back in. Blue is on the front.");
}

function marks() {
  const mark = (path, text) => {
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg"), shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
    drawn.setAttribute("viewBox", "-10 -10 20 20");
    drawn.setAttribute("aria-hidden", "true");
    shape.setAttribute("d", path);
    shape.setAttribute("fill", "currentColor");
    drawn.append(shape);
    return el("span", {}, drawn, text);
  };
  return el("div", { class: "legend" }, mark("M0-9L9 0 0 9-9 0Z", "target model, untouched"), mark("M0,-10 L2.6,-3.4 9.5,-3.1 4.1,1.3 5.9,8.1 0,4.2 -5.9,8.1 -4.1,1.3 -9.5,-3.1 -2.6,-3.4Z", "retain model, never saw it"),
    mark("M-7,-5 L-5,-7 0,-2 5,-7 7,-5 2,0 7,5 5,7 0,2 -5,7 -7,5 -2,0Z", "stopped early"), mark("M-9-1.2H9V1.2H-9Z", "front"), el("span", {}, "Ctrl + wheel zooms"));
}

function chips(state, redraw) {
  const tones = methodColours(methodsOf(state.view));
  fill(document.getElementById(ids.chips), [...tones].map(([method, tone]) => el("button", { type: "button", "aria-pressed": String(!state.hidden.has(method)),
    onclick: () => { if (!state.hidden.delete(method)) state.hidden.add(method); redraw(); } }, el("i", { style: { background: tone } }), method || "unnamed")));
}

function brushed(state) {
  const node = document.getElementById(ids.brush);
  if (node) node.textContent = state.kept ? `${plural(state.kept.size, "trial")} inside the marked ranges` : "";
}

function knee(view, key) {
  const stratum = view.strata.find((one) => one.key === key), node = document.getElementById(ids.knee);
  fill(node, stratum.points.length ? [best(view, stratum), frontTable(view, stratum)] : nearest(stratum), meanTable(view, key));
}

function nearest(stratum) {
  return [el("h2", {}, "The front"), el("p", { class: "muted" }, "No checkpoint kept enough of the target model's utility yet. Nearest:"),
    el("ul", { class: "verdicts" }, stratum.nearest.map((one) => el("li", {}, el("span", {}, `${one.trial}@${one.epoch}`), el("span", {}, percent(one.metrics.utility_ratio, 1), " of the target's utility"))))];
}

function best(view, stratum) {
  const [trial, epoch] = stratum.knee, point = stratum.points.find((one) => one.trial === trial && one.epoch === epoch);
  const [x, y] = view.objectives, config = view.trials.find((one) => one.id === trial)?.config ?? {};
  const to = `./${view.name}-${Number(stratum.key) * 100}`.replaceAll(/[^\w./-]/g, "-");
  const limits = Object.keys(view.constraints).filter((name) => name in point.metrics);
  return [el("h2", {}, "The knee: the best compromise"),
    el("p", {}, el("b", {}, `${trial} after epoch ${epoch}`), ` · ${config.method ?? ""} · ${inShort(config)}`),
    el("dl", {}, "forget_quality" in point.metrics && [el("dt", {}, "forget quality p"), el("dd", {}, number(point.metrics.forget_quality))],
      el("dt", {}, x.short), el("dd", {}, number(point.metrics[x.metric])),
      el("dt", {}, y.short), el("dd", {}, `${number(point.metrics[y.metric])} (${percent(point.metrics.utility_ratio, 1)} of the target's)`),
      limits.map((name) => [el("dt", {}, words(name)), el("dd", {}, number(point.metrics[name]))])),
    view.state === "finished" ? command(`letheon pull ${quoted(view.name)} --select knee --fraction ${stratum.key} --to ${to}${view.options}`) : el("p", { class: "small muted" }, "It can be pulled when the sweep has ended.")];
}

function quoted(name) {
  return /^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
}

function frontTable(view, stratum) {
  const [x, y] = view.objectives, [trial, epoch] = stratum.knee;
  return [el("h3", {}, "All of the front"), listing("Points of the front", ["checkpoint", "method", x.short, y.short], stratum.points.map((one) => [
    [el("a", { href: `#/sweeps/${encodeURIComponent(view.key)}/trials/${encodeURIComponent(one.trial)}` }, `${one.trial}@${one.epoch}`), one.trial === trial && one.epoch === epoch && [" ", el("span", { class: "tag" }, "knee")]],
    view.trials.find((other) => other.id === one.trial)?.config.method ?? "", number(one.metrics[x.metric]), number(one.metrics[y.metric])]))];
}

function meanTable(view, key) {
  const points = view.means[key] ?? [], [x, y] = view.objectives;
  if (!points.length) return null;
  return [el("h3", {}, `Means over ${points[0].seeds} seeds, with 95 % intervals`), listing("Means over seeds", ["trials", "method", x.short, y.short],
    points.map((one) => [`${one.trials.join(", ")} @${one.epoch}`, one.config.method ?? "", spread(one, x.metric), spread(one, y.metric)]))];
}

function listing(name, heads, rows) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((text, i) => el("th", { scope: "col", class: i === 1 ? "text" : null }, text)))),
    el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell, i) => el("td", { class: i === 1 ? "text" : null }, cell)))))));
}

function verdicts(view) {
  fill(document.getElementById(ids.verdicts), el("h2", {}, "Last verdicts"), view.decisions.length
    ? el("ul", { class: "verdicts" }, view.decisions.map((one) => el("li", {}, el("a", { href: `#/sweeps/${encodeURIComponent(view.key)}/trials/${one.trial}` }, `${one.trial}@${one.epoch}`), el("span", {}, one.text))))
    : el("p", { class: "muted" }, "No trial has come to a rung yet."));
}

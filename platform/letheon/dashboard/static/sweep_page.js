// One sweep, live: its front, learning curves, cost, and trials.

import { settle, sweepAddress, trialAddress } from "./address.js";
import { activity } from "./activity.js";
import { capacity } from "./capacity.js";
import { readChoices, writeChoices } from "./choices.js";
import { bar, cost, importance } from "./costs.js";
import { curves } from "./curves.js";
import { choice, command, el, fill } from "./dom.js";
import { downloadTrials } from "./export.js";
import { duration, fraction, moment, number, percent, plural } from "./format.js";
import { growth } from "./growth.js";
import { decisionCard, kneeCard } from "./knee.js";
import { marksOf } from "./palette.js";
import { parallel } from "./parallel.js";
import { plane } from "./plane.js";
import { slices } from "./slices.js";
import { trialTable } from "./table.js";
import { verdict } from "./verdict.js";

const IMPORTANCE_EVERY = 15000;

// `place`: {main, crumbs}; `address`: {key, stratum, options}.
export function sweepPage(source, address, place) {
  const { key } = address;
  const parts = layout(), state = { view: null, kept: null, focus: null, ...readChoices(address.stratum, address.options) };
  let closed = false, loading = false, again = false, loaded = 0, shares = null; // `loaded`: when importance was; -1: failed
  const changed = () => { if (!closed && state.stratum) settle(sweepAddress(key, state.stratum, writeChoices(state))); };
  const filtered = () => [views.plane, views.curves, views.slices, views.table];
  const events = {
    changed,
    hover(trial) {
      if (state.focus === trial) return;
      state.focus = trial;
      [views.plane, views.curves, views.table].forEach((one) => one.focus(trial));
    },
    open: (trial) => { location.hash = trialAddress(key, trial); },
    href: (trial) => trialAddress(key, trial),
    brush(kept, ranges) { state.kept = kept; state.ranges = ranges; filtered().forEach((one) => one.update(state)); brushed(state); changed(); },
  };
  const views = { plane: plane(events), curves: curves(events), growth: growth(), parallel: parallel(events), slices: slices(events), importance: importance(), capacity: capacity(), cost: cost(), table: trialTable(events) };
  fill(place.main, parts.head, parts.activity, parts.strata, parts.answer, parts.body);

  function redraw() {
    const { view } = state;
    if (!view.strata.some((one) => one.key === state.stratum)) state.stratum = view.strata.at(-1)?.key ?? null;
    if (!view.metrics.some((one) => one.name === state.metric)) state.metric = "utility_ratio";
    head(parts.head, view, source.live);
    tabs(parts.strata, view, state.stratum, (chosen) => { state.stratum = chosen; state.kept = null; state.ranges = {}; redraw(); });
    fill(parts.answer, view.strata.find((one) => one.key === state.stratum)?.answer);
    if (!view.strata.length) return fill(parts.body, waiting(view));
    if (!parts.built) { fill(parts.body, build(state, views, changed)); parts.built = true; }
    chips(state, redraw);
    kneeCard(document.getElementById(ids.knee), view, state.stratum);
    decisionCard(document.getElementById(ids.decisions), view);
    brushed(state);
    Object.entries(views).forEach(([name, one]) => {
      if (name === "importance") one.update(shares, state.stratum);
      else if (name === "cost") one.update(view);
      else one.update(state);
    });
    changed();
    loadImportance();
  }

  async function loadImportance() {
    const recent = state.view.state === "running" && Date.now() - loaded < IMPORTANCE_EVERY;
    if (recent || loaded === -1 || shares?.version === state.view.version) return;
    loaded = Date.now();
    try {
      shares = { ...await source.importance(key), version: state.view.version };
      if (!closed) views.importance.update(shares, state.stratum);
    } catch { loaded = -1; /* the rest of the page works without it */ }
  }

  async function load() {
    if (loading) { again = true; return; }
    loading = true;
    try {
      const view = await source.sweep(key, state.view);
      if (closed) return;
      state.view = view;
      fill(place.crumbs, el("span", {}, view.name));
      document.title = `${view.name} · Letheon`;
      redraw();
    } catch (error) {
      if (!closed) failed(place.main, parts, state.view, error);
    } finally {
      loading = false;
      if (again && !closed) { again = false; load(); }
    }
  }
  const stop = source.watch(key, load, (now) => activity(parts.activity, now));
  return () => { closed = true; stop(); };
}

function layout() {
  return { head: el("div", {}), activity: el("div", { class: "activity", "aria-label": "What runs now" }), strata: el("div", { class: "strata", role: "tablist", "aria-label": "Forget fraction" }), answer: el("p", { class: "answer" }), body: el("div", {}), built: false };
}

function failed(place, parts, view, error) {
  const banner = el("div", { class: "banner fail", role: "alert" }, error.message);
  if (view) parts.head.prepend(banner); // the last view stays readable
  else fill(place, banner);
}

// -- the head: name, state, progress

function head(node, view, live) {
  const counts = Object.entries(view.counts).map(([name, count]) => `${count} ${name}`).join(", ");
  const fact = (value, ...text) => value !== null && value !== undefined && el("span", {}, el("b", {}, value), " ", text);
  fill(node,
    el("div", { class: "head" }, el("h1", {}, view.name), el("span", { class: `pill ${view.state}`, role: "status" }, view.state),
      view.links.mlflow && el("a", { href: view.links.mlflow, rel: "noreferrer" }, "in MLflow")),
    el("p", { class: "facts" },
      fact(view.planned ? `${view.done} of ${view.planned}` : view.done, (view.planned ?? view.done) === 1 ? "trial" : "trials", counts && ` (${counts})`), fact(view.epochs, view.epochs === 1 ? "epoch" : "epochs"),
      fact(duration(view.seconds), view.cost.preparation > 0 && `in total, ${duration(view.cost.preparation)} of it preparation`), view.benchmark && el("span", {}, `${view.benchmark}, ${view.model}`),
      view.searcher && el("span", {}, `${view.searcher} search, ${view.scheduler}`), view.began && el("span", {}, moment(view.began))),
    banners(view), live && ["running", "preparing"].includes(view.state) && progress(view));
}

function banners(view) {
  const found = [];
  if (view.state === "interrupted") found.push(el("div", { class: "banner" }, el("span", {}, `Interrupted: ${view.detail ?? "its driver process is gone"}. No finished epoch is lost; continue with`), command(`letheon resume ${view.name}${view.options}`)));
  if (view.state === "failed") found.push(el("div", { class: "banner fail", role: "alert" }, `Failed: ${view.detail ?? "no reason was recorded"}`));
  if (view.tracking?.state === "degraded") found.push(el("div", { class: "banner" }, `Tracking has been degraded since ${moment(view.tracking.since)}: ${view.tracking.cause ?? ""} Training continues; ${plural(view.tracking.behind, "row")} waiting in the journal.`));
  return found;
}

function progress(view) {
  return el("div", { class: "progress" }, view.budget.flatMap((limit) => [
    el("span", {}, limit.name.replaceAll("_", " ")), bar([[limit.used / limit.limit, "accent"]]), el("span", { class: "numbers" }, `${number(limit.used)} of ${number(limit.limit)}`)]));
}

function tabs(node, view, chosen, pick) {
  fill(node, view.strata.map((one) => el("button", { type: "button", role: "tab", "aria-selected": String(one.key === chosen), onclick: () => pick(one.key), onkeydown: (event) => step(event, node) },
    el("span", { class: "small muted" }, "forget"), el("span", { class: "big" }, fraction(one.key)),
    el("span", { class: "small muted" }, one.points.length ? `${plural(one.points.length, "point")}, ${percent(one.share)} of the possible hypervolume` : "no front yet"), verdict(one.verdict))));
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
    preparing: "The target and retain models are being prepared. Trials appear here once the search starts.",
    running: "No trial has started yet.", failed: "The sweep failed before its first trial.", interrupted: "The sweep was interrupted before its first trial.",
  }[view.state] ?? "The sweep has no trials.";
  return el("div", { class: "card empty" }, el("p", {}, text));
}

// -- the cards

const ids = { chips: "chips", knee: "knee", decisions: "decisions", brush: "brush" };

// `changed()`: a choice that the address keeps has changed.
function build(state, views, changed) {
  const picked = (name, view) => (value) => { state[name] = value; view.update(state); changed(); };
  const select = (label, name, options, chosen, view) => el("select", { "aria-label": label, onchange: (event) => picked(name, view)(event.target.value) },
    options.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
  const titled = (width, title, tools, ...content) => el("section", { class: `card ${width}` }, el("header", {}, el("h2", {}, title), tools), ...content);
  const goals = state.view.objectives.map((one) => [one.metric, one.label]), metrics = state.view.metrics.map((one) => [one.name, one.label]);
  return el("div", { class: "grid" },
    titled("w8", "Forgetting against utility", el("span", { class: "tools" }, choice("Part of the plane", [[true, "around the front"], [false, "everything"]], state.near, picked("near", views.plane)),
      choice("Paths of the trials", [[true, "paths"], [false, "points only"]], state.paths, picked("paths", views.plane))),
      el("div", { id: ids.chips, class: "chips", role: "group", "aria-label": "Methods" }), views.plane.host, marks()),
    el("section", { class: "card w4", id: ids.knee }),
    titled("w6", "Learning curves", select("Metric of the curves", "metric", metrics, state.metric, views.curves), views.curves.host),
    titled("w6", "Hypervolume over compute", choice("Compute", [["epochs", "trial-epochs"], ["hours", "slot-hours"]], state.unit, picked("unit", views.growth)), views.growth.host),
    titled("w12", "Parallel coordinates", el("span", { id: ids.brush, class: "small muted" }), el("div", { class: "scroll" }, views.parallel.host), ranks()),
    titled("w12", "Slices", select("Objective of the slices", "slice", goals, state.slice ?? goals[0][0], views.slices), views.slices.host),
    titled("w4", "Importance", null, views.importance.host), titled("w4", "How much can be forgotten", null, views.capacity.host), titled("w4", "Cost", null, views.cost.host),
    titled("w12", "Trials", el("span", { class: "tools" }, views.table.compare, views.table.count, views.table.search, el("button", { type: "button", class: "plain", onclick: () => downloadTrials(state.view) }, "Export CSV")), views.table.host),
    el("section", { class: "card w12", id: ids.decisions }));
}

function ranks() {
  return el("p", { class: "small muted" }, "Drag along an axis to keep only the trials inside a range, on the whole page; click the axis to show all again. Blue lines are on the front; “none” marks trials without that value.");
}

function symbol(outline, fill = "currentColor", line = "none") {
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg"), shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  drawn.setAttribute("viewBox", "-11 -11 22 22");
  drawn.setAttribute("aria-hidden", "true");
  Object.entries({ d: outline, fill, stroke: line, "stroke-width": 2 }).forEach(([name, value]) => shape.setAttribute(name, value));
  drawn.append(shape);
  return drawn;
}

function marks() {
  const mark = (text, ...drawing) => el("span", {}, symbol(...drawing), text);
  return el("div", { class: "legend" }, mark("target model, untouched", "M0-9L9 0 0 9-9 0Z", "none", "currentColor"),
    mark("retain model, never saw the forget set", "M0,-10 L2.6,-3.4 9.5,-3.1 4.1,1.3 5.9,8.1 0,4.2 -5.9,8.1 -4.1,1.3 -9.5,-3.1 -2.6,-3.4Z", "none", "currentColor"),
    mark("stopped early", "M-7,-5 L-5,-7 0,-2 5,-7 7,-5 2,0 7,5 5,7 0,2 -5,7 -7,5 -2,0Z"), mark("front", "M-9-1.2H9V1.2H-9Z"), el("span", { class: "mouse" }, "Ctrl + wheel zooms"));
}

function chips(state, redraw) {
  fill(document.getElementById(ids.chips), [...marksOf(state.view)].map(([method, mark]) => el("button", { type: "button", "aria-pressed": String(!state.hidden.has(method)),
    onclick: () => { if (!state.hidden.delete(method)) state.hidden.add(method); redraw(); } }, symbol(mark.outline, mark.colour), method || "unnamed")));
}

function brushed(state) {
  const node = document.getElementById(ids.brush);
  if (node) node.textContent = state.kept ? `${plural(state.kept.size, "trial")} inside the marked ranges` : "";
}

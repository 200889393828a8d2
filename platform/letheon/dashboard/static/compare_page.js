// Two trials side by side: configuration, metrics at the best epoch, curves, and generations.

import { compareAddress, sweepAddress, trialAddress } from "./address.js";
import { curves } from "./curves.js";
import { el, fill } from "./dom.js";
import { fraction, number, percent, shown, words } from "./format.js";
import { colour } from "./palette.js";
import { plane } from "./plane.js";
import { answers, sampledEpochs, references } from "./samples.js";
import { outcome } from "./trials.js";
import { verdict } from "./verdict.js";

// `place`: {main, crumbs}; `pair`: two trial ids.
export function comparePage(source, key, pair, place) {
  let closed = false, metric = "utility_ratio";
  async function load() {
    try {
      const [view, ...details] = await Promise.all([source.sweep(key), ...pair.map((id) => source.trial(key, id))]);
      if (closed) return;
      const trials = details.map((detail) => ({ ...view.trials.find((one) => one.id === detail.id), detail }));
      fill(place.crumbs, el("a", { href: sweepAddress(key, trials[0].stratum, new URLSearchParams({ compare: pair.join(",") })) }, view.name), el("span", {}, "›"), el("span", {}, "compare"));
      document.title = `${pair.join(" and ")} · ${view.name} · Letheon`;
      draw(place.main, view, trials, metric, (chosen) => { metric = chosen; });
    } catch (error) {
      if (!closed) fill(place.main, el("div", { class: "banner fail", role: "alert" }, error.message));
    }
  }
  const stop = source.watch(key, load);
  return () => { closed = true; stop(); };
}

function draw(main, view, trials, metric, pick) {
  const titled = (width, title, tools, ...content) => el("section", { class: `card ${width}` }, el("header", {}, el("h2", {}, title), tools), ...content);
  const tones = new Map(trials.map((trial, i) => [trial.id, colour(`series-${i}`)])), same = trials[0].stratum === trials[1].stratum;
  const quiet = { hover: () => {}, open: () => {} }, paths = plane(quiet), lines = curves(quiet);
  const state = { view, trials, tones, stratum: trials[0].stratum, hidden: new Set(), kept: new Set(tones.keys()), paths: true, near: false, focus: null, metric };
  const metrics = el("select", { "aria-label": "Metric of the curves", onchange: (event) => { state.metric = event.target.value; pick(state.metric); lines.update(state); } },
    view.metrics.map((one) => el("option", { value: one.name, selected: one.name === metric }, one.label)));
  fill(main, el("div", { class: "head" }, el("h1", {}, "Two trials")), el("div", { class: "pair" }, trials.map((trial, i) => heading(view, trials, trial, i, tones))),
    el("div", { class: "grid" },
      titled("w6", "Trajectories", null, same ? paths.host : el("p", { class: "empty" }, "These trials have different forget fractions, so one plane cannot show both.")),
      titled("w6", "Learning curves", metrics, lines.host),
      titled("w5", "Configuration", null, configurations(trials)), titled("w7", "Metrics at the best epoch", null, measured(view, trials)),
      titled("w12", "What the models say", null, generations(trials, tones))));
  if (same) paths.update(state);
  lines.update(state);
}

function heading(view, trials, trial, i, tones) {
  const choose = (id) => { location.hash = compareAddress(view.key, ...trials.map((one, at) => (at === i ? id : one.id))); };
  return el("section", { class: "card" },
    el("header", {}, el("span", {}, el("i", { class: "swatch", style: { background: tones.get(trial.id) } }),
      el("select", { "aria-label": ["First trial", "Second trial"][i], onchange: (event) => choose(event.target.value) }, view.trials.map((one) => el("option", { value: one.id, selected: one.id === trial.id }, `${one.id} · ${one.config.method ?? ""} · ${fraction(one.stratum)}`))),
      " ", el("a", { href: trialAddress(view.key, trial.id) }, `open ${trial.id}`)),
      el("span", {}, verdict(trial.verdict), " ", trial.rank === 0 && el("span", { class: "tag" }, "on the front"), " ", el("span", { class: `pill ${outcome(trial)}` }, outcome(trial)))),
    el("p", { class: "small muted" }, trial.detail.summary));
}

// A table whose differing rows are marked.
function compared(name, heads, rows) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, rows.map(([label, ...cells]) => el("tr", { class: cells[0] === cells[1] ? "same" : "differs" }, el("td", {}, label), cells.map((cell) => el("td", {}, cell)))))));
}

function configurations(trials) {
  const names = [...new Set(trials.flatMap((trial) => Object.keys(trial.config)))];
  return compared("Configurations", ["", ...trials.map((trial) => trial.id)], names.map((name) => [words(name), ...trials.map((trial) => shown(trial.config[name]))]));
}

function measured(view, trials) {
  const epochs = trials.map((trial) => trial.best ?? trial.epochs.at(-1) ?? 0);
  const names = [...new Set(trials.flatMap((trial) => Object.keys(trial.detail.metrics.values)))].sort();
  const heads = ["", ...trials.map((trial, i) => `${trial.id}, epoch ${epochs[i]}`), "difference"], first = view.metrics.map((one) => one.name);
  const row = (name) => {
    const [one, other] = trials.map((trial, i) => trial.detail.metrics.values[name]?.[trial.detail.metrics.epochs.indexOf(epochs[i])] ?? null);
    const show = (value) => (name === "utility_ratio" ? percent(value, 1) : number(value));
    return [words(name), show(one), show(other), one === null || other === null ? "–" : show(other - one)];
  };
  return [compared("Metrics", heads, names.filter((name) => first.includes(name)).map(row)),
    el("details", {}, el("summary", {}, "All other metrics"), compared("All other metrics", heads, names.filter((name) => !first.includes(name)).map(row)))];
}

function generations(trials, tones) {
  const found = trials.map((trial) => sampledEpochs(trial.detail, trial.best).first);
  if (found.some((epoch) => epoch === undefined)) return el("p", { class: "muted" }, "No generations were recorded for one of the trials.");
  const texts = trials.map((trial, i) => trial.detail.samples[String(found[i])]), other = new Set(texts[1].map((one) => `${one.set} ${one.prompt}`));
  const questions = texts[0].filter((one) => other.has(`${one.set} ${one.prompt}`));
  if (!questions.length) return el("p", { class: "muted" }, "The trials have no question in common.");
  return el("ul", { class: "said" }, answers(questions, [...references(trials[0].detail), ...trials.map((trial, i) => ({ name: [`${trial.id} after epoch ${found[i]} `, verdict(trial.detail.verdicts[found[i]])], texts: texts[i], after: true, tone: tones.get(trial.id) }))]));
}

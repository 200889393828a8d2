// One trial: its trajectory, the decisions about it, its generations, and how to download a checkpoint.

import { sweepAddress } from "./address.js";
import { chart, axis, GRID } from "./chart.js";
import { choice, command, el, fill } from "./dom.js";
import { fraction, number, percent, plural, shown, words } from "./format.js";
import { colour } from "./palette.js";
import { plane } from "./plane.js";
import { answers, sampledEpochs, references } from "./samples.js";
import { verdict } from "./verdict.js";

const SHARES = ["utility_ratio", "forget_rouge", "retain_rouge", "forget_probability", "extraction_strength"];

// `place`: {main, crumbs}.
export function trialPage(source, key, id, place) {
  let closed = false;
  async function load() {
    try {
      const [view, trial] = await Promise.all([source.sweep(key), source.trial(key, id)]);
      if (closed) return;
      fill(place.crumbs, el("a", { href: sweepAddress(key, trial.stratum) }, view.name), el("span", {}, "›"), el("span", {}, id));
      document.title = `${id} · ${view.name} · Letheon`;
      draw(place.main, view, trial);
    } catch (error) {
      if (!closed) fill(place.main, el("div", { class: "banner fail", role: "alert" }, error.message));
    }
  }
  const stop = source.watch(key, load);
  return () => { closed = true; stop(); };
}

function draw(place, view, trial) {
  const picture = plane({ hover: () => {}, open: () => {} }), lines = chart("middle", "metrics", `Metrics of ${trial.id} over its epochs`);
  const titled = (width, title, ...content) => el("section", { class: `card ${width}` }, el("h2", {}, title), ...content);
  const best = view.trials.find((one) => one.id === trial.id);
  const state = { view, stratum: trial.stratum, hidden: new Set(), kept: new Set([trial.id]), paths: true, near: false, focus: trial.id };
  fill(place,
    el("div", { class: "head" }, el("h1", {}, trial.id), el("span", { class: `pill ${trial.outcome ?? "running"}` }, trial.outcome ?? "running"), trial.on_front.length > 0 && el("span", { class: "tag" }, "on the front"), verdict(best?.verdict)),
    el("p", { class: "facts" }, el("span", {}, `forget ${fraction(trial.stratum)}`), el("span", {}, trial.title), trial.origin && el("span", {}, `chosen by: ${trial.origin}`)),
    el("div", { class: "grid" },
      titled("w8", "Trajectory", picture.host),
      titled("w4", "Summary", el("p", {}, trial.summary), trial.why_not.map((line) => el("p", { class: "small" }, line)), home(view, trial)),
      titled("w6", "Over the epochs", lines.host), titled("w6", "Decisions", decisions(trial)),
      titled("w12", "What the model says", generations(trial, best?.best)),
      Object.keys(trial.audits).length > 0 && titled("w12", "Under attack", audits(view, trial)),
      titled("w4", "Configuration", el("dl", {}, Object.entries(trial.config).flatMap(([name, value]) => [el("dt", {}, words(name)), el("dd", {}, shown(value))]))),
      titled("w8", "Every metric", el("details", { open: Object.keys(trial.metrics.values).length < 16 }, el("summary", {}, `${plural(Object.keys(trial.metrics.values).length, "metric")} by epoch`), metricTable(trial)))));
  picture.update(state);
  lines.draw(() => shares(trial));
}

function home(view, trial) {
  if (!trial.pull.length) return el("div", {}, el("p", { class: "small muted" }, "Only front checkpoints are kept, so this trial has none to pull."), command(trial.explain));
  const when = view.state === "finished" ? null : el("p", { class: "small muted" }, "Can be pulled after the sweep has ended:");
  return el("div", {}, el("h3", {}, "Download"), when, trial.pull.map((one) => command(one.command)));
}

function shares(trial) {
  const { epochs, values } = trial.metrics;
  const names = SHARES.filter((name) => values[name]);
  return {
    grid: { ...GRID, left: 50, top: 34 }, legend: { top: 0, textStyle: { color: colour("muted"), fontSize: 11.5 }, icon: "roundRect", itemHeight: 4, itemWidth: 16 },
    tooltip: { trigger: "axis", confine: true, backgroundColor: colour("surface"), borderColor: colour("line"), textStyle: { color: colour("ink") }, valueFormatter: (value) => number(value) },
    xAxis: axis("epoch", { minInterval: 1, min: 0, max: Math.max(1, epochs.at(-1)), splitLine: { show: false } }), yAxis: axis("", { min: 0, max: (top) => Math.max(1, top.max) }),
    series: names.map((name, i) => ({ name: words(name), type: "line", symbolSize: 5, data: epochs.map((epoch, at) => [epoch, values[name][at]]), lineStyle: { width: 2, color: colour(`series-${i}`) }, itemStyle: { color: colour(`series-${i}`) } })),
  };
}

function decisions(trial) {
  if (!trial.decisions.length) return el("p", { class: "muted" }, "No report yet: the trial is in its first epoch or waiting to run.");
  return el("ol", { class: "verdicts" }, trial.decisions.map((one) => el("li", {}, el("span", {}, `epoch ${one.epoch}`), el("span", {}, verdict(trial.verdicts[one.epoch]), " ", one.text))));
}

function generations(trial, best) {
  const { epochs, first } = sampledEpochs(trial, best);
  if (!epochs.length) return el("p", { class: "muted" }, "No generations were recorded for this trial.");
  const list = el("ul", { class: "said" });
  const show = (epoch) => {
    const texts = trial.samples[String(epoch)] ?? [];
    fill(list, answers(texts, [...references(trial), { name: ["after epoch ", epoch, " ", verdict(trial.verdicts[epoch])], texts, after: true }]));
  };
  show(first);
  return el("div", {}, choice("Epoch", epochs.map((epoch) => [epoch, String(epoch)]), first, show), el("p", { class: "small muted" }, "Questions about facts to forget and facts to keep, answered by the target model before unlearning, the retain model (never trained on the forget set), and this trial after the chosen epoch."), list);
}

function audits(view, trial) {
  const retain = view.strata.find((one) => one.key === trial.stratum)?.retain_audit ?? {};
  const epochs = Object.keys(trial.audits), names = [...new Set(epochs.flatMap((epoch) => Object.keys(trial.audits[epoch].metrics ?? {})))].filter((name) => name.endsWith("_forget_rouge")).sort();
  const label = (name) => words(name.replace(/^audit_/, "").replace(/_forget_rouge$/, ""));
  const table = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "What attacks recovered" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "attack: recovered forget ROUGE"), epochs.map((epoch) => el("th", { scope: "col" }, `epoch ${epoch}`)), el("th", { scope: "col" }, "retain model"))),
    el("tbody", {}, names.map((name) => el("tr", {}, el("td", {}, label(name)), epochs.map((epoch) => el("td", {}, number(trial.audits[epoch].metrics[name]))), el("td", {}, number(retain[name])))))));
  const texts = Object.entries(trial.audits[epochs.at(-1)].samples ?? {}).filter(([, all]) => all.length);
  return [table, texts.length > 0 && el("details", {}, el("summary", {}, "Answers under attack"), texts.map(([attack, all]) => [el("h3", {}, words(attack)), el("ul", { class: "said" }, all.map((one) => el("li", {},
    el("div", { class: "ask" }, one.prompt), el("blockquote", { class: "after" }, el("small", {}, "under attack"), one.generated || "(nothing)"), el("blockquote", {}, el("small", {}, "true answer"), one.answer))))]))];
}

function metricTable(trial) {
  const { epochs, values } = trial.metrics;
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Every metric by epoch" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "metric"), epochs.map((epoch) => el("th", { scope: "col" }, epoch === 0 ? "before" : `epoch ${epoch}`)))),
    el("tbody", {}, Object.entries(values).map(([name, row]) => el("tr", {}, el("td", {}, words(name)), row.map((value) => el("td", {}, name === "utility_ratio" ? percent(value, 1) : number(value))))))));
}

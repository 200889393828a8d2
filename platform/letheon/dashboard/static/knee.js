// The card of the front: its knee, what to type to get it, and every point.

import { sweepAddress, trialAddress } from "./address.js";
import { command, el, fill } from "./dom.js";
import { fraction, number, percent, words } from "./format.js";
import { spread } from "./plane.js";
import { inShort } from "./trials.js";
import { hasVerdicts, verdict } from "./verdict.js";

export function kneeCard(node, view, key) {
  const stratum = view.strata.find((one) => one.key === key);
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
  return [el("header", {}, el("h2", {}, "The knee: the best compromise"), verdict(point.verdict)),
    el("p", {}, el("b", {}, `${trial} after epoch ${epoch}`), ` · ${config.method ?? ""} · ${inShort(config)}`),
    point.verdict && el("p", { class: "small muted" }, point.verdict.reasons.join("; ")),
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
  const [x, y] = view.objectives, [trial, epoch] = stratum.knee, judged = hasVerdicts(stratum.points);
  return [el("h3", {}, "All points of the front"), listing("Points of the front", ["checkpoint", "method", x.short, y.short, ...(judged ? ["verdict"] : [])], [null, null, x.label, y.label, null], stratum.points.map((one) => [
    [el("a", { href: trialAddress(view.key, one.trial) }, `${one.trial}@${one.epoch}`), one.trial === trial && one.epoch === epoch && [" ", el("span", { class: "tag" }, "knee")]],
    view.trials.find((other) => other.id === one.trial)?.config.method ?? "", number(one.metrics[x.metric]), number(one.metrics[y.metric]), ...(judged ? [verdict(one.verdict)] : [])]))];
}

function meanTable(view, key) {
  const points = view.means[key] ?? [], [x, y] = view.objectives;
  if (!points.length) return null;
  return [el("h3", {}, `Means over ${points[0].seeds} seeds, with 95 % intervals`), listing("Means over seeds", ["trials", "method", x.short, y.short], [null, null, x.label, y.label],
    points.map((one) => [`${one.trials.join(", ")} @${one.epoch}`, one.config.method ?? "", spread(one, x.metric), spread(one, y.metric)]))];
}

function listing(name, heads, titles, rows) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((text, i) => el("th", { scope: "col", class: i === 1 ? "text" : null, title: titles[i] }, text)))),
    el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell, i) => el("td", { class: i === 1 ? "text" : null }, cell)))))));
}

export function decisionCard(node, view) {
  fill(node, el("h2", {}, "Latest decisions"), view.decisions.length
    ? el("ul", { class: "verdicts wide" }, view.decisions.map((one) => el("li", {}, el("a", { href: trialAddress(view.key, one.trial) }, `${one.trial}@${one.epoch}`), el("a", { class: "muted", href: sweepAddress(view.key, one.stratum) }, `forget ${fraction(one.stratum)}`), el("span", {}, one.text))))
    : el("p", { class: "muted" }, "No trial has reached a rung yet."));
}

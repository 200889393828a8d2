// The front's card: its knee, the command that downloads it, and every point.

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
  return [el("h2", {}, "The front"), el("p", { class: "muted" }, "No checkpoint has kept enough of the target model's utility yet. Closest:"),
    el("ul", { class: "verdicts" }, stratum.nearest.map((one) => el("li", {}, el("span", {}, `${one.trial}@${one.epoch}`), el("span", {}, percent(one.metrics.utility_ratio, 1), " of the target's utility"))))];
}

function best(view, stratum) {
  const [trial, epoch] = stratum.knee, point = stratum.points.find((one) => one.trial === trial && one.epoch === epoch);
  const [x, y, ...more] = view.objectives, config = view.trials.find((one) => one.id === trial)?.config ?? {};
  const to = `./${view.name}-${Number(stratum.key) * 100}`.replaceAll(/[^\w./-]/g, "-");
  const limits = Object.keys(view.constraints).filter((name) => name in point.metrics);
  return [el("header", {}, el("h2", {}, "The knee: the best compromise"), verdict(point.verdict)),
    el("p", {}, el("b", {}, `${trial} after epoch ${epoch}`), ` · ${config.method ?? ""} · ${inShort(config)}`),
    el("dl", {}, "forget_quality" in point.metrics && [el("dt", {}, "forget quality p"), el("dd", {}, number(point.metrics.forget_quality))],
      el("dt", {}, x.short), el("dd", {}, number(point.metrics[x.metric])),
      el("dt", {}, y.short), el("dd", {}, `${number(point.metrics[y.metric])} (${percent(point.metrics.utility_ratio, 1)} of the target's)`),
      more.map((z) => [el("dt", {}, z.short), el("dd", {}, number(point.metrics[z.metric]))]),
      limits.map((name) => [el("dt", {}, words(name)), el("dd", {}, number(point.metrics[name]))])),
    view.state === "finished" ? command(`letheon pull ${quoted(view.name)} --select knee --fraction ${stratum.key} --to ${to}${view.options}`) : el("p", { class: "small muted" }, "The checkpoint can be pulled after the sweep has ended.")];
}

function quoted(name) {
  return /^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
}

function frontTable(view, stratum) {
  const [trial, epoch] = stratum.knee, judged = hasVerdicts(stratum.points), method = (one) => view.trials.find((other) => other.id === one.trial)?.config.method ?? "";
  const columns = [
    { head: "checkpoint", show: (one) => [el("a", { href: trialAddress(view.key, one.trial) }, `${one.trial}@${one.epoch}`), one.trial === trial && one.epoch === epoch && [" ", el("span", { class: "tag" }, "knee")]] },
    ...(judged ? [{ head: "verdict", text: true, show: (one) => verdict(one.verdict) }] : []),
    ...view.objectives.map((goal) => ({ head: goal.short, title: goal.label, show: (one) => number(one.metrics[goal.metric]) })),
    { head: "method", text: true, show: method },
  ];
  return [el("h3", {}, "All points of the front"), listing("Points of the front", columns, stratum.points)];
}

function meanTable(view, key) {
  const points = view.means[key] ?? [];
  if (!points.length) return null;
  const columns = [{ head: "trials", show: (one) => `${one.trials.join(", ")} @${one.epoch}` }, { head: "method", text: true, show: (one) => one.config.method ?? "" },
    ...view.objectives.map((goal) => ({ head: goal.short, title: goal.label, show: (one) => spread(one, goal.metric) }))];
  return [el("h3", {}, `Means over ${points[0].seeds} seeds, with 95% intervals`), listing("Means over seeds", columns, points)];
}

// `columns`: [{head, title, text: true to align left, show(item)}].
function listing(name, columns, items) {
  const side = (one) => (one.text ? "text" : null);
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, el("table", {}, el("thead", {}, el("tr", {}, columns.map((one) => el("th", { scope: "col", class: side(one), title: one.title }, one.head)))),
    el("tbody", {}, items.map((item) => el("tr", {}, columns.map((one) => el("td", { class: side(one) }, one.show(item))))))));
}

export function decisionCard(node, view) {
  fill(node, el("h2", {}, "Latest decisions"), view.decisions.length
    ? el("ul", { class: "verdicts wide" }, view.decisions.map((one) => el("li", {}, el("a", { href: trialAddress(view.key, one.trial) }, `${one.trial}@${one.epoch}`), el("a", { class: "muted", href: sweepAddress(view.key, one.stratum) }, `forget ${fraction(one.stratum)}`), el("span", {}, one.text))))
    : el("p", { class: "muted" }, "No trial has reached a rung yet."));
}

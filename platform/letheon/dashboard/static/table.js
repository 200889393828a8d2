// The table of trials: search, sorting, selection for comparison, and pages.

import { compareAddress } from "./address.js";
import { el, fill } from "./dom.js";
import { duration, fraction, number, percent, plural, shown, words } from "./format.js";
import { best, chosen, outcome, varied } from "./trials.js";
import { hasVerdicts, verdict } from "./verdict.js";

const PAGE = 40;

// `events`: {hover(trial id or null), href(trial id), changed(): a choice that the address keeps has changed}
export function trialTable(events) {
  const body = el("tbody", {}), head = el("thead", {}), pager = el("div", { class: "pager" }), count = el("span", { class: "muted small", role: "status" });
  const compare = el("span", { class: "small muted" });
  const search = el("input", { type: "search", placeholder: "npo_rt pruned t01 …", "aria-label": "Search trials of all fractions: every word must occur", oninput: () => { state.search = search.value; page = 0; list(); events.changed(); } });
  const host = el("div", {}, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Trials" }, el("table", {}, head, body)), pager);
  let state = null, page = 0, rows = [], columns = [];

  // A search covers the trials of all fractions; without one, the table has those of the chosen fraction.
  function list() {
    const wanted = state.search.toLowerCase().split(/\s+/).filter(Boolean), all = wanted.length > 0;
    const trials = all ? state.view.strata.flatMap((one) => chosen({ ...state, stratum: one.key })) : chosen(state);
    columns = columnsOf(state.view, trials, all);
    rows = trials.map((trial) => rowOf(state.view, trial)).filter((row) => wanted.every((word) => row.text.includes(word)));
    count.textContent = all ? `${plural(rows.length, "trial")} of ${trials.length}, all fractions` : plural(rows.length, "trial");
    draw();
  }

  function draw() {
    const column = columns.find((one) => one.name === state.sort.name) ?? columns[0];
    rows.sort((a, b) => compared(a.cells[column.name], b.cells[column.name], state.sort.down) || (a.id < b.id ? -1 : 1));
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    page = Math.min(page, pages - 1);
    fill(head, el("tr", {}, columns.map(heading)));
    fill(body, rows.slice(page * PAGE, (page + 1) * PAGE).map(line));
    fill(pager, pages > 1 && [
      el("button", { type: "button", disabled: page === 0, onclick: () => { page -= 1; draw(); } }, "Previous"), `page ${page + 1} of ${pages}`,
      el("button", { type: "button", disabled: page === pages - 1, onclick: () => { page += 1; draw(); } }, "Next")]);
    const [one, other] = state.picked;
    fill(compare, other ? el("a", { href: compareAddress(state.view.key, one, other) }, `Compare ${one} and ${other}`) : one ? `${one} is ticked: tick another to compare` : "Tick two trials to compare them");
  }

  function heading(one) {
    const on = state.sort.name === one.name;
    const pick = () => { state.sort = { name: one.name, down: on ? !state.sort.down : Boolean(one.down) }; draw(); events.changed(); };
    return el("th", { scope: "col", class: one.text ? "text" : null, title: one.title, "aria-sort": on ? (state.sort.down ? "descending" : "ascending") : "none" }, el("button", { type: "button", onclick: pick }, one.label));
  }

  function line(row) {
    return el("tr", { "data-trial": row.id, onmouseenter: () => events.hover(row.id), onmouseleave: () => events.hover(null) },
      columns.map((one) => el("td", { class: one.text ? "text" : null }, special[one.name]?.(row) ?? one.show?.(row.cells[one.name]))));
  }

  // At most two: a third replaces the first.
  function tick(id, on) {
    state.picked = [...state.picked.filter((one) => one !== id), ...(on ? [id] : [])].slice(-2);
    draw();
    [...body.children].find((row) => row.dataset.trial === id)?.querySelector("input").focus();
    events.changed();
  }

  function name(row) {
    const box = el("input", { type: "checkbox", title: "Compare", "aria-label": `Compare ${row.id}`, checked: state.picked.includes(row.id), onchange: (event) => tick(row.id, event.target.checked) });
    return [box, " ", el("a", { href: events.href(row.id), onfocus: () => events.hover(row.id), onblur: () => events.hover(null) }, row.id), row.cells.rank === 1 && [" ", el("span", { class: "tag" }, "front")]];
  }

  const special = { id: name, best: ({ cells }) => `${cells.best ?? "–"} of ${cells.epochs}`, outcome: ({ cells }) => el("span", { class: `pill ${cells.outcome}` }, cells.outcome), verdict: (row) => verdict(row.verdict) };

  return {
    host, search, count, compare,
    update(now) {
      state = now;
      if (search.value.trim() !== state.search.trim()) search.value = state.search;
      list();
    },
    focus(trial) {
      body.querySelectorAll("tr").forEach((row) => row.classList.toggle("focus", row.dataset.trial === trial));
    },
  };
}

function columnsOf(view, trials, all) {
  const [x, y, ...more] = view.objectives, at = (one) => `${one.label}, at the best epoch`;
  return [
    { name: "id", label: "trial", text: true },
    ...(all ? [{ name: "stratum", label: "forget", show: fraction }] : []),
    ...varied(trials).map((name) => ({ name: `config.${name}`, label: words(name), text: name === "method", show: shown })),
    { name: "best", label: "best epoch", title: "The feasible epoch that dominates the largest area of the objectives (MLflow's best/epoch)" },
    { name: "x", label: x.short, title: at(x), show: number, down: x.better === "max" },
    { name: "y", label: y.short, title: at(y), show: number, down: y.better === "max" },
    ...more.map((z) => ({ name: "z", label: z.short, title: at(z), show: number, down: z.better === "max" })),
    { name: "ratio", label: "of target", title: "share of the target model's utility, at the best epoch", show: (value) => percent(value, 1), down: true },
    ...(hasVerdicts(trials) ? [{ name: "verdict", label: "verdict", title: "at the best epoch, else at the last", text: true }] : []),
    { name: "rank", label: "front", title: "1: on the front; 2: on the front without those; and so on", show: shown },
    { name: "outcome", label: "outcome", text: true },
    { name: "seconds", label: "time", show: duration, down: true },
  ];
}

function rowOf(view, trial) {
  const spot = best(view, trial), i = spot ? trial.epochs.indexOf(spot.epoch) : -1;
  const cells = {
    id: trial.id, stratum: trial.stratum, epochs: trial.epochs.at(-1) ?? 0, best: trial.best, x: spot?.x ?? null, y: spot?.y ?? null, z: spot?.z ?? null, ratio: trial.metrics.utility_ratio?.[i] ?? null,
    rank: trial.rank === null ? null : trial.rank + 1, outcome: outcome(trial), seconds: trial.seconds, verdict: trial.verdict?.name ?? null,
  };
  for (const [name, value] of Object.entries(trial.config)) cells[`config.${name}`] = value;
  return { id: trial.id, cells, verdict: trial.verdict, text: [trial.id, fraction(trial.stratum), ...Object.values(trial.config), cells.outcome, trial.verdict?.name ?? "", trial.origin ?? "", trial.reason ?? "", trial.rank === 0 ? "front" : ""].join(" ").toLowerCase() };
}

// Missing values come last in both sort directions.
function compared(a, b, down) {
  const none = (value) => value === null || value === undefined;
  if (none(a) || none(b)) return none(a) - none(b);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return down ? -order : order;
}

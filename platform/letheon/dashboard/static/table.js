// The trials as a table: searched, sorted, and a page at a time.

import { el, fill } from "./dom.js";
import { duration, number, percent, shown, words } from "./format.js";
import { best, byStratum, outcome, varied } from "./trials.js";

const PAGE = 40;

// `events`: {hover, href(trial id)}
export function trialTable(events) {
  const body = el("tbody", {}), head = el("thead", {}), pager = el("div", { class: "pager" }), count = el("span", { class: "muted small", role: "status" });
  const search = el("input", { type: "search", placeholder: "npo_rt pruned t01 …", "aria-label": "Search trials: every word must occur", oninput: () => { page = 0; draw(); } });
  const host = el("div", {}, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Trials" }, el("table", {}, head, body)), pager);
  let sort = { name: "rank", down: false }, page = 0, rows = [], columns = [];

  function draw() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => wanted.every((word) => row.text.includes(word)));
    const column = columns.find((one) => one.name === sort.name) ?? columns[0];
    if (column) found.sort((a, b) => compare(a.cells[column.name], b.cells[column.name], sort.down) || (a.id < b.id ? -1 : 1));
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(page, pages - 1);
    fill(head, el("tr", {}, columns.map((one) => heading(one))));
    fill(body, found.slice(page * PAGE, (page + 1) * PAGE).map(line));
    count.textContent = found.length === rows.length ? `${rows.length} trials` : `${found.length} of ${rows.length} trials`;
    fill(pager, pages > 1 && [
      el("button", { type: "button", disabled: page === 0, onclick: () => { page -= 1; draw(); } }, "Previous"), `page ${page + 1} of ${pages}`,
      el("button", { type: "button", disabled: page === pages - 1, onclick: () => { page += 1; draw(); } }, "Next")]);
  }

  function heading(one) {
    const on = sort.name === one.name;
    return el("th", { scope: "col", class: one.text ? "text" : null, "aria-sort": on ? (sort.down ? "descending" : "ascending") : "none" },
      el("button", { type: "button", onclick: () => { sort = { name: one.name, down: on ? !sort.down : Boolean(one.down) }; draw(); } }, one.label));
  }

  function line(row) {
    return el("tr", { "data-trial": row.id, onmouseenter: () => events.hover(row.id), onmouseleave: () => events.hover(null) },
      columns.map((one) => el("td", { class: one.text ? "text" : null }, one.name === "id" ? name(row) : one.name === "outcome" ? el("span", { class: `pill ${row.cells.outcome}` }, row.cells.outcome) : one.show(row.cells[one.name]))));
  }

  function name(row) {
    return [el("a", { href: events.href(row.id), onfocus: () => events.hover(row.id), onblur: () => events.hover(null) }, row.id), row.cells.rank === 0 && [" ", el("span", { class: "tag" }, "front")]];
  }

  return {
    host, search, count,
    update(state) {
      const stratum = state.view.strata.find((one) => one.key === state.stratum);
      const trials = stratum ? byStratum(state.view, state.stratum).filter((trial) => !state.hidden.has(trial.config.method) && (!state.kept || state.kept.has(trial.id))) : [];
      columns = columnsOf(state.view, trials);
      rows = trials.map((trial) => rowOf(state.view, stratum, trial));
      draw();
    },
    focus(trial) {
      body.querySelectorAll("tr").forEach((row) => row.classList.toggle("focus", row.dataset.trial === trial));
    },
  };
}

function columnsOf(view, trials) {
  const [x, y] = view.objectives;
  return [
    { name: "id", label: "trial", text: true },
    ...varied(trials).map((name) => ({ name: `config.${name}`, label: words(name), text: name === "method", show: shown })),
    { name: "epochs", label: "epochs", show: shown, down: true },
    { name: "x", label: `best ${x.short}`, show: number, down: x.better === "max" },
    { name: "y", label: y.short, show: number, down: y.better === "max" },
    { name: "ratio", label: "of target", show: (value) => percent(value, 1), down: true },
    { name: "rank", label: "front rank", show: shown },
    { name: "outcome", label: "outcome", text: true },
    { name: "seconds", label: "time", show: duration, down: true },
  ];
}

function rowOf(view, stratum, trial) {
  const spot = best(view, trial, stratum), i = spot ? trial.epochs.indexOf(spot.epoch) : -1;
  const cells = {
    id: trial.id, epochs: trial.epochs.at(-1) ?? 0, x: spot?.x ?? null, y: spot?.y ?? null, ratio: trial.metrics.utility_ratio?.[i] ?? null,
    rank: trial.rank, outcome: outcome(trial), seconds: trial.seconds,
  };
  for (const [name, value] of Object.entries(trial.config)) cells[`config.${name}`] = value;
  return { id: trial.id, cells, text: [trial.id, ...Object.values(trial.config), cells.outcome, trial.origin ?? "", trial.reason ?? "", trial.rank === 0 ? "front" : ""].join(" ").toLowerCase() };
}

// What is missing comes last, whichever way the column is sorted.
function compare(a, b, down) {
  const none = (value) => value === null || value === undefined;
  if (none(a) || none(b)) return none(a) - none(b);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return down ? -order : order;
}

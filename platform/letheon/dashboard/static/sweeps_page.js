// The list of sweeps, with state, progress, and the front of each forget fraction.

import { command, el, fill } from "./dom.js";
import { sweepAddress } from "./address.js";
import { bar } from "./costs.js";
import { duration, fraction, moment, percent, plural } from "./format.js";
import { verdict } from "./verdict.js";

const PERIOD = 3000;

export function sweepsPage(source, place) {
  const list = el("ul", { class: "sweeps" }), problem = el("div", {}), facts = el("p", { class: "facts" });
  const search = el("input", { type: "search", placeholder: "Search", "aria-label": "Search sweeps", oninput: () => draw() });
  fill(place, el("div", { class: "head" }, el("h1", {}, "Sweeps"), el("span", { style: { flex: 1 } }), search), facts, problem, list);
  let found = null, last = "", timer = null, closed = false;

  function draw() {
    const wanted = search.value.toLowerCase();
    const shown = found.sweeps.filter((one) => `${one.name} ${one.study ?? ""} ${one.state}`.toLowerCase().includes(wanted));
    fill(facts, el("span", {}, plural(found.sweeps.length, "sweep")), el("span", {}, `records in ${found.store}`));
    fill(problem, found.problem && el("div", { class: "banner" }, el("span", {}, `MLflow cannot be read, so only the sweeps of this machine are up to date. ${found.problem}`)));
    fill(list, shown.length ? shown.map((one) => el("li", {}, line(one))) : el("li", {}, nothing(found.sweeps.length > 0)));
  }

  async function load() {
    try {
      found = await source.sweeps();
      const text = JSON.stringify(found);
      if (!closed && text !== last) draw();
      last = text;
    } catch (error) {
      if (!closed) fill(problem, el("div", { class: "banner fail", role: "alert" }, error.message));
    }
    if (!closed) timer = setTimeout(load, PERIOD);
  }
  load();
  return () => { closed = true; clearTimeout(timer); };
}

function line(one) {
  return el("article", { class: "card" },
    el("header", {}, el("h2", {}, el("a", { href: sweepAddress(one.key) }, one.name)), el("span", { class: `pill ${one.state}` }, one.state)),
    el("p", { class: "facts", style: { margin: 0 } }, about(one)),
    one.planned && one.state === "running" ? bar([[one.done / one.planned, "accent"]]) : null,
    one.strata?.length ? el("div", { class: "legend" }, one.strata.map((stratum) => el("span", {}, el("a", { href: sweepAddress(one.key, stratum.key) }, `forget ${fraction(stratum.key)}`), ": ", verdict(stratum.verdict), " ", front(stratum)))) : null,
    one.detail && one.state !== "finished" ? el("p", { class: "small muted" }, one.detail) : null);
}

function about(one) {
  const counts = Object.entries(one.counts ?? {}).map(([name, count]) => `${count} ${name}`).join(", ");
  return [
    one.study && one.study !== one.name && el("span", {}, one.study),
    one.benchmark && el("span", {}, `${one.benchmark}, ${one.model}`),
    one.done !== undefined && el("span", {}, el("b", {}, one.planned ? `${one.done} of ${one.planned}` : String(one.done)), (one.planned ?? one.done) === 1 ? " trial" : " trials", counts && ` (${counts})`),
    one.seconds !== null && one.seconds !== undefined && el("span", {}, duration(one.seconds)),
    el("span", {}, moment(one.began)),
    one.place === "mlflow" && el("span", {}, "from MLflow"),
  ];
}

function front(stratum) {
  if (!stratum.points) return "no front yet";
  return `${plural(stratum.points, "front point")}, ${percent(stratum.share)} of the possible hypervolume, knee ${stratum.knee.join("@")}`;
}

function nothing(any) {
  return el("div", { class: "card empty" }, any ? el("p", {}, "No sweep matches.") : el("div", {}, el("p", {}, "No sweeps yet. Start one, and it appears here:"), command("letheon sweep quickstart")));
}

// How much each hyper-parameter matters, and what the sweep has cost, as bars of plain elements.

import { el, fill } from "./dom.js";
import { duration, fraction, percent, plural, words } from "./format.js";

const SHOWN = 8;

export function importance() {
  const host = el("div", {});
  return {
    host,
    // `found`: importance per stratum, null while it is loading
    update(found, stratum) {
      const shares = found?.[stratum];
      if (!found) return fill(host, el("p", { class: "empty" }, "…"));
      if (!shares?.length) return fill(host, el("p", { class: "empty" }, "Too few trials: importance needs at least twelve per fraction."));
      return fill(host, el("div", { class: "bars" }, shares.slice(0, SHOWN).flatMap((one) => [
        el("span", { title: plural(one.trials, "trial") }, words(one.name)), bar([[one.share, "accent"]]), el("span", { class: "numbers muted" }, percent(one.share)),
      ])), el("p", { class: "small muted" }, "Share of the variation between the best trials and all trials (PED-ANOVA)."));
    },
  };
}

const KINDS = [["train", "training", "series-0"], ["evaluation", "evaluation", "series-2"], ["startup", "start-up, waiting", "series-4"], ["idle", "idle slots", "faint"]];

export function cost() {
  const host = el("div", {});
  return {
    host,
    update(view) {
      const { total, idle, slots, preparation, gpu_seconds: gpus, slot_seconds: all, strata } = view.cost, seconds = { ...total, idle };
      if (!all) return fill(host, el("p", { class: "empty" }, "Nothing has been spent yet."));
      const busy = total.train + total.evaluation + total.startup;
      return fill(host,
        bar(KINDS.map(([name, , tone]) => [seconds[name] / all, tone]), "stack"),
        el("div", { class: "legend" }, KINDS.map(([name, label, tone]) => el("span", {}, swatch(tone), `${label} ${duration(seconds[name])}`))),
        el("dl", {},
          el("dt", {}, "slot time"), el("dd", {}, `${duration(all)}${slots ? ` in ${plural(slots, "slot")}` : ""}, ${plural(total.epochs, "epoch")}`),
          gpus > 0 && [el("dt", {}, "GPU time"), el("dd", {}, duration(gpus))],
          el("dt", {}, "preparation"), el("dd", {}, `${duration(preparation)}, in addition`),
          el("dt", {}, "saved by stopping"), el("dd", {}, saved(total, busy)),
          el("dt", {}, "wasted"), el("dd", {}, `${duration(total.wasted)} (${percent(view.cost.wasted_share)} of slot time) on stopped or failed trials without a front point`),
          el("dt", {}, "cost per epoch"), el("dd", {}, Object.entries(strata).map(([key, work]) => `${fraction(key)}: ${duration(perEpoch(work))}`).join(", "))));
    },
  };
}

function perEpoch(work) {
  return work.epochs ? (work.train + work.evaluation + work.startup) / work.epochs : NaN;
}

function saved(total, busy) {
  if (!total.epochs_saved) return "nothing yet";
  const share = total.seconds_saved / (busy + total.seconds_saved);
  return `${plural(total.epochs_saved, "epoch")}, about ${duration(total.seconds_saved)} (${percent(share)} of the total)`;
}

export function bar(parts, more = "") {
  return el("div", { class: `bar ${more}` }, parts.filter(([share]) => share > 0)
    .map(([share, tone]) => el("i", { style: { width: `${Math.min(100, 100 * share)}%`, background: `var(--${tone})` } })));
}

function swatch(tone) {
  return el("i", { style: { display: "inline-block", width: "10px", height: "10px", borderRadius: "3px", marginRight: ".35rem", background: `var(--${tone})` } });
}

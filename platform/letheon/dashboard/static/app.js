// Shows the page that the address after # names, in the live dashboard and in reports.

import { readAddress } from "./address.js";
import { disposeAll, redrawAll } from "./chart.js";
import { comparePage } from "./compare_page.js";
import { el, fill } from "./dom.js";
import { themeButton } from "./palette.js";
import { openSource } from "./source.js";
import { sweepPage } from "./sweep_page.js";
import { sweepsPage } from "./sweeps_page.js";
import { trialPage } from "./trial_page.js";

const source = openSource();
const place = el("main", { id: "main", tabindex: -1 }), crumbs = el("nav", { class: "crumbs", "aria-label": "Where you are" });
let leave = () => {};

fill(document.getElementById("app"),
  el("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); place.focus(); } }, "Skip to the content"),
  el("header", { class: "top" }, el("div", {}, el("a", { class: "brand", href: "#/" }, mark(), "Letheon"), crumbs, themeButton(() => redrawAll()))), place);

function mark() {
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawn.setAttribute("viewBox", "0 0 32 32");
  drawn.setAttribute("aria-hidden", "true");
  const wave = (d, opacity) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    Object.entries({ d, opacity, fill: "none", stroke: "currentColor", "stroke-width": "2.6", "stroke-linecap": "round" }).forEach(([name, value]) => path.setAttribute(name, value));
    drawn.append(path);
  };
  wave("M4 10c4-5 8-5 12 0s8 5 12 0", 1);
  wave("M4 17c4-5 8-5 12 0s8 5 12 0", 1);
  wave("M4 24c4-5 8-5 12 0", 0.45);
  return drawn;
}

function show() {
  leave();
  disposeAll();
  const address = readAddress(source.home), where = { main: place, crumbs };
  fill(crumbs);
  scrollTo(0, 0);
  if (!address.key) {
    document.title = "Letheon";
    leave = sweepsPage(source, place);
  } else if (address.trial) leave = trialPage(source, address.key, address.trial, where);
  else if (address.pair) leave = comparePage(source, address.key, address.pair, where);
  else leave = sweepPage(source, address, where);
}

addEventListener("hashchange", show);
show();

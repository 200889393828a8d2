// What all charts share: axes, tooltips, resizing, redrawing when the colours change.

import { el } from "./dom.js";
import { download, fileName } from "./download.js";
import { words } from "./format.js";
import { colour } from "./palette.js";

const charts = new Set();
const EDGE = 4;

// A chart in a box of class `size`. `name`: for the file it is saved as; `describe`: its text for screen readers.
export function chart(size, name, describe) {
  const canvas = el("div", { class: `chart ${size}`, role: "img", "aria-label": describe });
  const save = el("button", { type: "button", class: "save", title: "Save picture", "aria-label": `Save picture: ${words(name)}`, onclick: () => self.save() }, "↓ PNG");
  const host = el("div", { class: "picture" }, canvas, save);
  let drawn = null, options = null;
  const handlers = [];
  const self = {
    host,
    draw(make) {
      options = make;
      if (!canvas.isConnected || !canvas.clientWidth) return; // the observer draws it once it has a size
      if (!drawn) {
        drawn = window.echarts.init(canvas, null, { renderer: "canvas" });
        handlers.forEach(([event, handler]) => drawn.on(event, handler));
      }
      drawn.setOption({ ...base(), ...make() }, { notMerge: true });
    },
    merge(part) { if (drawn) drawn.setOption(part); },
    on(event, handler) { handlers.push([event, handler]); if (drawn) drawn.on(event, handler); },
    // Reports pointing at and clicking on a trial. `events`: {hover(trial id or null), open(trial id)}.
    follow(events) {
      self.on("mouseover", (event) => { if (event.data?.trial) events.hover(event.data.trial); });
      self.on("globalout", () => events.hover(null));
      self.on("click", (event) => { if (event.data?.trial) events.open(event.data.trial); });
    },
    get echarts() { return drawn; },
    redraw() { if (options) self.draw(options); },
    describe(text) { canvas.setAttribute("aria-label", text); },
    save() { if (drawn) download(fileName(name, "png"), drawn.getDataURL({ type: "png", pixelRatio: 2, backgroundColor: colour("surface") })); },
  };
  const watcher = new ResizeObserver(() => { if (drawn) drawn.resize(); else self.redraw(); });
  watcher.observe(canvas);
  charts.add(self);
  self.dispose = () => { watcher.disconnect(); charts.delete(self); if (drawn) drawn.dispose(); drawn = null; };
  return self;
}

export function redrawAll() {
  charts.forEach((one) => one.redraw());
}

export function disposeAll() {
  [...charts].forEach((one) => one.dispose());
}

function base() {
  return {
    animation: false,
    textStyle: { fontFamily: "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", color: colour("ink") },
    tooltip: tooltip(),
  };
}

function tooltip() {
  return {
    trigger: "item", confine: true, transitionDuration: 0, padding: [7, 10],
    backgroundColor: colour("surface"), borderColor: colour("line"), textStyle: { color: colour("ink") },
  };
}

export function axis(name, more = {}) {
  return {
    type: "value", name, nameLocation: "middle", nameGap: 28, scale: true,
    nameTextStyle: { color: colour("muted"), fontSize: 12.5 },
    axisLine: { lineStyle: { color: colour("line") } }, axisTick: { show: false },
    axisLabel: { color: colour("muted"), hideOverlap: true }, splitLine: { lineStyle: { color: colour("grid") } },
    ...more,
  };
}

export const GRID = { left: 58, right: 18, top: 16, bottom: 46 };

// A dashed line across a chart, at x or y, for `guides`.
export function guide(place, text, tone = "muted", position = "insideEndTop") {
  return {
    ...place, name: text,
    label: { formatter: text, color: colour(tone), position, fontSize: 11.5 },
    lineStyle: { color: colour(tone), type: [5, 4], width: 1 },
  };
}

// Label layout above a point: inside the chart, and hidden where it would cover a more important label. ECharts calls it
// again at every redraw, with the label already moved, so it uses only the point's position.
export function insideOf(picture) {
  return ({ rect: point, labelRect: { width, height } }) => {
    const left = point.x + point.width / 2 - width / 2, most = (picture.echarts?.getWidth() ?? Infinity) - width - EDGE;
    return { hideOverlap: true, dx: Math.max(EDGE, Math.min(left, most)) - left, dy: Math.max(0, height + 2 * EDGE - point.y) };
  };
}

// Lines and areas without data.
export function guides(lines, areas = []) {
  return { id: "guides", type: "scatter", data: [], silent: true, markLine: { silent: true, symbol: "none", data: lines }, markArea: { silent: true, data: areas } };
}

// A tooltip as an element, never as markup. `facts`: [[name, value], …].
export function tip(title, facts) {
  return el("div", { class: "tip" }, el("b", {}, title),
    el("dl", {}, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
}

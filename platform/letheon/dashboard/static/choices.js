// A reader's choices on a sweep's page, kept as query options of its address.

const DEFAULTS = { metric: "utility_ratio", unit: "epochs", slice: null };

export function readChoices(stratum, options) {
  const list = (name) => (options.get(name) ?? "").split(",").filter(Boolean);
  const sort = options.get("sort");
  return {
    stratum, hidden: new Set(list("hide")), picked: list("compare").slice(0, 2), search: options.get("search") ?? "",
    sort: sort ? { name: sort.replace(/^-/, ""), down: sort.startsWith("-") } : { name: "rank", down: false },
    near: options.get("plane") !== "all", paths: options.get("paths") !== "no", ranges: readRanges(options.getAll("range")),
    ...Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, options.get(name) ?? DEFAULTS[name]])),
  };
}

// The options that differ from a new page's.
export function writeChoices(state) {
  const options = new URLSearchParams();
  const set = (name, value, differs) => { if (differs) options.append(name, value); };
  set("hide", [...state.hidden].join(","), state.hidden.size);
  set("search", state.search, state.search.trim());
  set("sort", `${state.sort.down ? "-" : ""}${state.sort.name}`, state.sort.name !== "rank" || state.sort.down);
  set("compare", state.picked.join(","), state.picked.length);
  set("plane", "all", !state.near);
  set("paths", "no", !state.paths);
  Object.entries(DEFAULTS).forEach(([name, usual]) => set(name, state[name], state[name] && state[name] !== usual));
  Object.entries(state.ranges).forEach(([axis, [low, high]]) => set("range", `${axis}:${low.toFixed(3)}:${high.toFixed(3)}`, true));
  return options;
}

function readRanges(texts) {
  return Object.fromEntries(texts.map((text) => text.match(/^(.+):(-?[\d.]+):(-?[\d.]+)$/)).filter(Boolean)
    .map(([, axis, low, high]) => [axis, [Number(low), Number(high)]]));
}

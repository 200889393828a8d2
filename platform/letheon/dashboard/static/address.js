// The address after # holds the current view, so reloading, going back and sharing a link keep it:
// "#/", "#/sweeps/KEY/FRACTION?…", "#/sweeps/KEY/trials/TRIAL", "#/sweeps/KEY/compare/TRIAL/TRIAL".

// `home`: the only sweep of a report; null in the live dashboard.
export function readAddress(home) {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [, key, third, ...rest] = path.split("/").map(decoded);
  const found = { key: key || home, options: new URLSearchParams(query ?? "") };
  if (third === "trials" && rest[0]) return { ...found, trial: rest[0] };
  if (third === "compare" && rest.length === 2) return { ...found, pair: rest };
  return { ...found, stratum: third || null };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // typed by hand, with a stray %
  }
}

function at(...parts) {
  return `#/sweeps/${parts.map(encodeURIComponent).join("/")}`;
}

export function sweepAddress(key, stratum, options) {
  const query = options?.toString();
  return (stratum ? at(key, stratum) : at(key)) + (query ? `?${query}` : "");
}

export function trialAddress(key, trial) {
  return at(key, "trials", trial);
}

export function compareAddress(key, one, other) {
  return at(key, "compare", one, other);
}

// Replace the address without adding a step for the Back button.
export function settle(address) {
  if (location.hash === address) return;
  try {
    history.replaceState(null, "", address);
  } catch { /* a sandboxed frame has no address of its own */ }
}

// Numbers, times and names as people read them.

const DASH = "–";

export function number(value, digits = 3) {
  if (typeof value !== "number" || !Number.isFinite(value)) return DASH;
  if (value === 0 || Number.isInteger(value) && Math.abs(value) < 1e5) return String(value);
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e5 ? String(Number(value.toPrecision(digits))) : exponential(value, digits);
}

function exponential(value, digits) {
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

export function percent(value, digits = 0) {
  return typeof value === "number" && Number.isFinite(value) ? `${(100 * value).toFixed(digits)}%` : DASH;
}

// A forget fraction, which is named as the journal names it: "0.05".
export function fraction(key) {
  return `${Number((100 * Number(key)).toPrecision(6))}%`;
}

export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return DASH;
  if (seconds < 100) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  const minutes = seconds / 60;
  if (minutes < 100) return `${Math.round(minutes)} min`;
  const hours = seconds / 3600;
  return hours < 48 ? `${Number(hours.toFixed(1))} h` : `${Number((hours / 24).toFixed(1))} days`;
}

export function moment(seconds) {
  return typeof seconds === "number" ? new Date(1000 * seconds).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : DASH;
}

export function words(name) {
  return String(name).replaceAll("_", " ");
}

export function plural(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

// Any value in a table's cell.
export function shown(value) {
  if (value === null || value === undefined) return DASH;
  return typeof value === "number" ? number(value) : String(value);
}

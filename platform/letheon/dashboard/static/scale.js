// Places values on an axis from 0 to 1, linear or logarithmic; missing values lie below it, at NONE.

export const NONE = -0.14;

const LOG_SPREAD = 20, MOST_TICKS = 6;
const STEPS = [1, 2, 3, 5, 10];

// Whether the sweep file searches it on a log scale; without the file, whether the values spread widely.
export function isLog(view, name, values) {
  const known = values.filter((value) => Number.isFinite(value));
  if (!known.length || Math.min(...known) <= 0) return false;
  return view.log_scaled ? view.log_scaled.includes(name) : Math.max(...known) / Math.min(...known) > LOG_SPREAD;
}

// {place(value), missing: whether any value is missing, ticks: [{at, value, text}, …]}. `down`: smaller values go up.
export function scale(values, log, down = false) {
  const known = values.filter((value) => Number.isFinite(value));
  const marks = !known.length ? [0, 1] : log ? logMarks(Math.min(...known), Math.max(...known)) : linearMarks(Math.min(...known), Math.max(...known));
  const turn = log ? Math.log10 : Number, low = turn(marks[0]), high = turn(marks.at(-1));
  const share = (value) => (turn(value) - low) / (high - low || 1);
  const place = (value) => (Number.isFinite(value) ? (down ? 1 - share(value) : share(value)) : NONE);
  const missing = known.length < values.length;
  const ticks = marks.map((value) => ({ at: place(value), value, text: String(Number(value.toPrecision(3))) }));
  return { place, missing, ticks: missing ? [{ at: NONE, text: "none" }, ...(known.length ? ticks : [])] : ticks };
}

function linearMarks(low, high) {
  const step = niceStep((high - low || Math.abs(low) || 1) / (MOST_TICKS - 2));
  const first = Math.floor(low / step + 1e-9), last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function niceStep(size) {
  const decade = 10 ** Math.floor(Math.log10(size));
  return decade * [1, 2, 5, 10].find((step) => step * decade >= size * 0.999);
}

function logMarks(low, high) {
  const decades = Array.from({ length: Math.ceil(Math.log10(high)) - Math.floor(Math.log10(low)) + 1 }, (_, i) => Math.floor(Math.log10(low)) + i);
  const all = decades.flatMap((power) => STEPS.slice(0, -1).map((step) => Number(`${step}e${power}`)));
  const first = all.findLastIndex((mark) => mark <= low * (1 + 1e-9)), last = all.findIndex((mark) => mark >= high * (1 - 1e-9));
  const marks = all.slice(Math.max(0, first), Math.max(last, first + 1) + 1);
  return marks.length <= MOST_TICKS ? marks : marks.filter((mark, i) => i === 0 || i === marks.length - 1 || /^1e|^10*$|^0\.0*1$/.test(String(mark)));
}

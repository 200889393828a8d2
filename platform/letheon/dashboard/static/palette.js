// Colours from the style sheet, so that charts and page agree in light and dark.

// The server's shape names -> a point's symbol, a line's dashes, and the symbol's outline in a legend.
const SHAPES = {
  circle: shape("M0-9A9 9 0 0 1 0 9A9 9 0 0 1 0-9Z", "solid", "circle"),
  square: shape("M-8-8H8V8H-8Z", "dashed", "rect"),
  up: shape("M0-9L9.5 8H-9.5Z", "dotted"),
  down: shape("M0 9L9.5-8H-9.5Z", [8, 3, 2, 3]),
  pentagon: shape("M0-9.5L9-2.9 5.6 7.7H-5.6L-9-2.9Z", "solid"),
  plus: shape("M-3.2-9H3.2V-3.2H9V3.2H3.2V9H-3.2V3.2H-9V-3.2H-3.2Z", "dashed"),
};

function shape(outline, dash, symbol = `path://${outline}`) {
  return { outline, dash, symbol };
}

let probe;

export function colour(name) {
  return resolved(`var(--${name})`);
}

function resolved(value) {
  probe ??= document.body.appendChild(Object.assign(document.createElement("i"), { hidden: true }));
  probe.style.color = value;
  return getComputedStyle(probe).color;
}

// Method -> {colour, symbol, dash, outline}, from the server's marks, so that a method looks the same everywhere.
export function marksOf(view) {
  return new Map(Object.entries(view.marks).map(([method, mark]) => [method, { colour: resolved(mark.tone), ...SHAPES[mark.shape] }]));
}

export function rankColour(rank) {
  if (rank === 0) return colour("accent");
  if (rank === null || rank === undefined) return colour("bad");
  return rank <= 2 ? colour("near") : colour("faint");
}

const ORDER = ["auto", "light", "dark"];

export function themeButton(changed) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "theme";
  const set = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = { auto: "◐", light: "☀", dark: "☾" }[theme];
    button.setAttribute("aria-label", `Colours: ${theme}. Change`);
    button.title = `Colours: ${theme}`;
  };
  let theme = remembered();
  set(theme);
  button.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    remember(theme);
    set(theme);
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => changed());
  return button;
}

function remembered() {
  try {
    const theme = localStorage.getItem("letheon-theme");
    return ORDER.includes(theme) ? theme : "auto";
  } catch {
    return "auto"; // a sandboxed frame has no storage
  }
}

function remember(theme) {
  try {
    localStorage.setItem("letheon-theme", theme);
  } catch { /* as above */ }
}

// Colours, taken from the style sheet so that pictures and page agree in light and dark.

const METHODS = 8;

let probe;

export function colour(name) {
  probe ??= document.body.appendChild(Object.assign(document.createElement("i"), { hidden: true }));
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

// One colour a method, the same in all pictures of a sweep.
export function methodColours(names) {
  const sorted = [...new Set(names)].sort();
  return new Map(sorted.map((name, i) => [name, colour(`method-${i % METHODS}`)]));
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

// Builds elements from plain calls. Text is only ever set as text, so no name in a sweep can become markup.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.entries(value).forEach(([key, one]) => (key.startsWith("--") ? node.style.setProperty(key, one) : (node.style[key] = one)));
    else node.setAttribute(name, value === true ? "" : value);
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

// A command with a button that copies it.
export function command(text) {
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy: ${text}` }, "Copy");
  button.addEventListener("click", async () => {
    const copied = await copy(text);
    button.textContent = copied ? "Copied" : "Select it";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
  return el("div", { class: "command" }, el("code", {}, text), button);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no permission; the text can still be selected
  }
}

// Buttons of which exactly one is pressed. `options`: [[value, label], …].
export function choice(label, options, chosen, pick) {
  const buttons = options.map(([value, text]) =>
    el("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) }, text));
  function choose(value) {
    options.forEach(([one], i) => buttons[i].setAttribute("aria-pressed", String(one === value)));
    pick(value);
  }
  return el("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

// Saves files that the page creates itself. Nothing is sent anywhere.

// `part`: which part of the page; the page's title names the sweep and the trial.
export function fileName(part, ending) {
  const title = document.title.split(" · ").slice(0, -1).reverse();
  return `${[...title, part].join("-").replaceAll(/[^\w.-]+/g, "-")}.${ending}`;
}

export function download(name, address) {
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

export function downloadText(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  download(name, address);
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

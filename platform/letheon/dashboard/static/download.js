// Files that the page makes itself. Nothing is sent anywhere.

// `part`: what of the page it is; the page's title says of which sweep and trial.
export function fileName(part, ending) {
  const of = document.title.split(" · ").slice(0, -1).reverse();
  return `${[...of, part].join("-").replaceAll(/[^\w.-]+/g, "-")}.${ending}`;
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

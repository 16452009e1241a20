/** What this browser remembers. Storage may be refused (private windows): then nothing is kept. */

const PREFIX = "visavis.";

function storage(kind) {
  try {
    return window[kind];
  } catch {
    return null;
  }
}

/** @param {string} name @param {string} [otherwise] */
export function recall(name, otherwise = "", kind = "localStorage") {
  return storage(kind)?.getItem(PREFIX + name) ?? otherwise;
}

export function remember(name, value, kind = "localStorage") {
  try {
    storage(kind)?.setItem(PREFIX + name, value);
  } catch {
    // full or refused; the page works without
  }
}

export function forget(name, kind = "localStorage") {
  storage(kind)?.removeItem(PREFIX + name);
}

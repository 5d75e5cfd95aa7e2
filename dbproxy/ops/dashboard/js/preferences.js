// What the reader has chosen, remembered by the browser. Without storage (a private window, a policy) it lasts as long as the page.

const PREFIX = "dbproxy.";

export function remembered(name, accepted, otherwise) {
  try {
    const value = localStorage.getItem(PREFIX + name);
    return accepted.includes(value) ? value : otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // it holds for this page only
  }
}

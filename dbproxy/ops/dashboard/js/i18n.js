// The language of the page. Texts are in texts_en.js and texts_zh.js; both have the same keys.

import { remember, remembered } from "./preferences.js";
import { en } from "./texts_en.js";
import { zh } from "./texts_zh.js";

/** The tables of texts by language code. */
export const TEXTS = { en, zh };

let language = remembered("language", Object.keys(TEXTS), navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

export const currentLanguage = () => language;
/** The tag for Intl and for the lang attribute. */
export const languageTag = () => (language === "zh" ? "zh-CN" : "en");

export function chooseLanguage(code) {
  language = code;
  remember("language", code);
}

/** The text of a key; `{name}` in it is replaced by `values.name`. */
export function text(key, values = {}) {
  const found = TEXTS[language][key];
  if (found === undefined) throw new Error(`no text for ${key}`);
  return found.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** Fill in every element below `root` that names its text (data-text) or its label for screen readers (data-label). */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", text(element.dataset.label));
}

// The words of the page. They are written, and translated, in the template `chat/strings.html`.

const language = document.documentElement.lang || "en";
const plurals = new Intl.PluralRules(language);
const texts = new Map(
  [...document.getElementById("chat-strings").content.querySelectorAll("[data-key]")].map((element) => [
    element.dataset.key,
    element.textContent.trim(),
  ]),
);

/** The text of `key` with its {placeholders} filled in. */
export function say(key, values = {}) {
  const text = texts.get(key);
  if (text === undefined) throw new Error(`chat/strings.html has no text "${key}"`);
  return text.replace(/\{(\w+)\}/g, (placeholder, name) => values[name] ?? placeholder);
}

/** Like `say`, with the form that fits `count`: keys end in ".one", ".other" and where a language has them others. */
export function sayCount(key, count, values = {}) {
  const form = `${key}.${plurals.select(count)}`;
  return say(texts.has(form) ? form : `${key}.other`, { count: number(count), ...values });
}

/** A number as the reader's language writes it. */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

/** A share of one as per cent. */
export function percent(share) {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(share);
}

/** A list of languages of a hotline ("fr" becomes "French" or "français"). */
export function languageNames(codes) {
  const names = new Intl.DisplayNames([language], { type: "language" });
  return codes.map((code) => (/^[a-z]{2,3}$/.test(code) ? names.of(code) : code)).join(", ");
}

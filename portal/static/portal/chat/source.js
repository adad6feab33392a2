// How a passage of a guideline is named: on its card, in the dialog, in copied text.

import { say } from "./strings.js";

/** "v2 · p. 4", "v2 · p. iv (file page 6)"; without a page for documents that have none. */
export function sourcePlace({ version, page, page_label: label }) {
  return [version, page ? pageName(page, label) : ""].filter(Boolean).join(" · ");
}

/** A page as it is printed, and as it is counted in the file where that is another number. */
function pageName(page, label) {
  if (!label || label === String(page)) return say("source.page", { page });
  return say("source.pages", { label, page });
}

/** "[1] Safety planning, v2 · p. 4" */
export function sourceLine(source) {
  return `[${source.marker}] ${[source.document, sourcePlace(source)].filter(Boolean).join(", ")}`;
}

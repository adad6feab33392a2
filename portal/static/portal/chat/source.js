// How a passage of a guideline is named: on its card, in the dialog, in copied text.

import { say } from "./strings.js";

/** "v2 · p. 4"; without a page for documents that have none. */
export function sourcePlace({ version, page, page_label: label }) {
  const shown = label || page;
  return [version, shown ? say("source.page", { page: shown }) : ""].filter(Boolean).join(" · ");
}

/** "[1] Safety planning, v2 · p. 4" */
export function sourceLine(source) {
  return `[${source.marker}] ${[source.document, sourcePlace(source)].filter(Boolean).join(", ")}`;
}

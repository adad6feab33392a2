// The quotation behind a marker, over the conversation. The link to its page stays a link: open in a new tab works.

import { fill, part } from "./elements.js";
import { sourcePlace } from "./source.js";

const dialog = document.getElementById("citation-dialog");
part(dialog, "close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // the backdrop
});

/** Show a citation or a passage: {marker, document, version, page, page_label, heading, quote, url}. */
export function showSource(source) {
  fill(dialog, "marker", `[${source.marker}]`);
  fill(dialog, "document", source.document);
  fill(dialog, "place", sourcePlace(source));
  fill(dialog, "heading", source.heading);
  fill(dialog, "quote", source.quote);
  part(dialog, "open").href = source.url;
  dialog.showModal();
}

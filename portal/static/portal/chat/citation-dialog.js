// The quotation behind a marker, over the conversation. Its words are there at once; its page, and what has become of
// its version, come from the passage's own page. The link to that stays a link: open in a new tab works.

import { fill, part } from "./elements.js";
import { showPage } from "./page-view.js";
import { sourcePlace } from "./source.js";

const dialog = document.getElementById("citation-dialog");
let asked = 0; // counts, so that an answer that comes late is not shown for another source
part(dialog, "close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => asked++);
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // the backdrop
  const link = event.target.closest("a[data-page]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  load(link.href, true);
});

/** Show a citation or a passage: {marker, document, version, page, page_label, heading, quote, exact, url}. */
export function showSource(source) {
  fill(dialog, "marker", `[${source.marker}]`);
  fill(dialog, "document", source.document);
  fill(dialog, "place", sourcePlace(source));
  fill(dialog, "heading", source.heading);
  part(dialog, "quote").replaceChildren(...marked(source));
  part(dialog, "shown").replaceChildren();
  part(dialog, "first").hidden = false;
  part(dialog, "open").href = source.url;
  dialog.showModal();
  load(source.url, false);
}

/** The words of a source with those marked that the answer rests on. */
function marked({ quote, exact }) {
  const nodes = [];
  let place = 0;
  for (const [start, end] of (exact ?? []).map(([from, to]) => between(quote, from, to))) {
    const mark = document.createElement("mark");
    mark.textContent = quote.slice(start, end);
    nodes.push(quote.slice(place, start), mark);
    place = end;
  }
  return [...nodes, quote.slice(place)];
}

/** The server counts characters, a script the halves of those that are written with two. */
function between(text, start, end) {
  const characters = [...text];
  return [characters.slice(0, start).join("").length, characters.slice(0, end).join("").length];
}

async function load(address, isTurned) {
  const number = ++asked;
  try {
    const response = await fetch(address, { credentials: "same-origin" });
    if (!response.ok || response.redirected) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const shown = part(page, "source");
    if (!shown || number !== asked) return;
    part(dialog, "shown").replaceChildren(document.adoptNode(shown));
    part(dialog, "first").hidden = true;
    showPage(dialog);
    if (isTurned) part(dialog, "pane")?.focus();
  } catch {
    // no connection: the words that are there already stay
  }
}

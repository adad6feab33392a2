// An answer on the page: growing while it streams, then the server's rendering of it.

import { parseBlocks, parseInline } from "./markdown.js";
import { say } from "./strings.js";

const TAGS = { strong: "strong", em: "em", code: "code" };

/** Draws a growing text into `element`, touching only the blocks that changed. */
export class GrowingAnswer {
  #element;
  #sourceOf;
  #drawn = [];

  /** @param {(marker: number) => object | undefined} sourceOf what a marker stands for */
  constructor(element, sourceOf) {
    this.#element = element;
    this.#sourceOf = sourceOf;
  }

  update(text) {
    const blocks = parseBlocks(text);
    while (this.#drawn.length > blocks.length) {
      this.#drawn.pop();
      this.#element.lastElementChild.remove();
    }
    blocks.forEach((block, index) => {
      if (this.#drawn[index] === block.source) return;
      const drawn = this.#draw(block);
      if (index < this.#drawn.length) this.#element.children[index].replaceWith(drawn);
      else this.#element.append(drawn);
      this.#drawn[index] = block.source;
    });
  }

  #draw(block) {
    if (block.kind === "list") {
      const list = document.createElement(block.ordered ? "ol" : "ul");
      if (block.ordered) list.start = block.start;
      list.append(...block.items.map((item) => this.#inline("li", item)));
      return list;
    }
    if (block.kind === "code") {
      const code = document.createElement("pre");
      code.textContent = block.text;
      return code;
    }
    return this.#inline(block.kind === "heading" ? "h3" : "p", block.text);
  }

  #inline(tag, text) {
    const element = document.createElement(tag);
    for (const piece of parseInline(text)) {
      const source = piece.kind === "citation" && this.#sourceOf(piece.marker);
      if (source) {
        element.append(citationLink(source));
      } else if (piece.kind === "unsupported") {
        element.append(unsupportedMark(piece.text));
      } else if (piece.kind in TAGS) {
        const styled = document.createElement(TAGS[piece.kind]);
        styled.textContent = piece.text;
        element.append(styled);
      } else {
        element.append(piece.text ?? `[${piece.marker}]`);
      }
    }
    return element;
  }
}

/** The same mark that the server makes after a sentence that no passage supports. */
function unsupportedMark(text) {
  const mark = document.createElement("span");
  mark.className = "unsupported";
  mark.title = say("grounding.unsupported");
  const shown = document.createElement("span");
  shown.textContent = text;
  shown.setAttribute("aria-hidden", "true");
  const read = document.createElement("span");
  read.className = "visually-hidden";
  read.textContent = ` (${mark.title})`;
  mark.append(shown, read);
  return mark;
}

/** The same link that the server makes of a marker in a finished answer. */
function citationLink({ marker, url }) {
  const link = document.createElement("a");
  link.className = "citation";
  link.dataset.marker = marker;
  link.href = url;
  link.textContent = `[${marker}]`;
  return link;
}

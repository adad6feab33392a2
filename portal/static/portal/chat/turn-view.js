// One turn on the page: draws whatever state it is given, again and again.

import { GrowingAnswer } from "./answer.js";
import { Checked } from "./checked.js";
import { copyText } from "./clipboard.js";
import { crisisCard } from "./crisis-card.js";
import { clone, fill, part } from "./elements.js";
import { sourceLine, sourcePlace } from "./source.js";
import { number, percent, say, sayCount } from "./strings.js";
import { isFinal, sourceOf } from "./turn.js";

const WELL_GROUNDED = 0.8;
const PARTLY_GROUNDED = 0.5;

/** What a running turn is doing, in words. */
export function statusText(turn) {
  if (turn.phase === "queued" && turn.etaSeconds > 0) {
    const wait =
      turn.etaSeconds < 90
        ? sayCount("wait.seconds", Math.round(turn.etaSeconds))
        : sayCount("wait.minutes", Math.round(turn.etaSeconds / 60));
    return `${sayCount("status.queued", turn.position)} ${wait}`;
  }
  return turn.phase === "queued" ? sayCount("status.queued", turn.position) : say(`status.${turn.phase}`);
}

/** Emits "source" (detail: the passage to show) and "again". */
export class TurnView extends EventTarget {
  #turn;
  #drawn = {};
  #growing;
  #checked;
  #frame = 0;

  constructor(turn) {
    super();
    this.#turn = turn;
    this.isHistory = isFinal(turn);
    this.element = clone("turn-template");
    this.#growing = new GrowingAnswer(part(this.element, "growing"), (marker) => sourceOf(this.#turn, marker));
    this.#checked = new Checked(part(this.element, "check"));
    this.element.addEventListener("click", (event) => this.#onClick(event));
    part(this.element, "again").addEventListener("click", () => this.dispatchEvent(new Event("again")));
    part(this.element, "copy").addEventListener("click", () => this.#copy());
    this.#draw();
  }

  /** Draw this state with the next frame; of several in between only the last. */
  show(turn) {
    this.#turn = turn;
    cancelAnimationFrame(this.#frame);
    // A hidden tab draws no frames, and a finished answer should not wait for it to come back.
    if (document.hidden || isFinal(turn)) this.#draw();
    else this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const turn = this.#turn;
    this.element.dataset.phase = turn.phase;
    this.element.setAttribute("aria-busy", String(!isFinal(turn)));
    part(this.element, "question").textContent = turn.question;
    this.#once("crisis", turn.crisis, (crisis) => [crisisCard(crisis, !this.isHistory)]);
    this.#once("notices", turn.notices, (notices) => notices.map(noticeItem));
    this.#once("passages", turn.passages, (passages) => passages.map(passageCard));
    part(this.element, "sources").hidden = !turn.passages.length;
    fill(this.element, "sources-title", turn.passages.length && sayCount("passages", turn.passages.length));
    part(this.element, "uncovered").hidden = turn.covered;
    if (this.#drawn.open === undefined && turn.passages.length) {
      this.#drawn.open = part(this.element, "sources").open = !this.isHistory;
    }
    part(this.element, "status").hidden = isFinal(turn);
    if (!isFinal(turn)) fill(this.element, "status-text", statusText(turn));
    this.#drawQuotation(turn);
    this.#drawAnswer(turn);
    this.#drawOutcome(turn);
  }

  // Words that no model wrote are never taken for a model's.
  #drawQuotation({ quotation, citations }) {
    part(this.element, "quoted").hidden = !quotation || !citations.length;
    if (quotation) fill(this.element, "quoted-why", say(`quoted.${quotation}`));
  }

  #drawAnswer(turn) {
    const isRendered = turn.html !== null;
    part(this.element, "growing").hidden = isRendered;
    if (!isRendered) {
      this.#growing.update(turn.text);
      return;
    }
    // The one place where HTML from the server is used as such: it is made and cleaned by portal.chat.rendering.
    if (this.#drawn.html !== turn.html) part(this.element, "answer").innerHTML = turn.html;
    this.#drawn.html = turn.html;
  }

  #drawOutcome(turn) {
    const isLeft = turn.phase === "cancelled" && turn.code === "left";
    const stopped = say(isLeft ? "outcome.left" : "outcome.cancelled");
    const outcome = { cancelled: stopped, refused: turn.message, failed: turn.message }[turn.phase];
    fill(this.element, "outcome-text", outcome);
    fill(this.element, "outcome-rule", turn.phase === "refused" && turn.rule && say("outcome.rule", { rule: turn.rule }));
    part(this.element, "outcome").hidden = !outcome;
    part(this.element, "again").hidden = turn.phase !== "failed" && !isLeft;
    const hasFoot = turn.phase === "completed" || turn.phase === "cancelled";
    part(this.element, "foot").hidden = !hasFoot;
    part(this.element, "copy").hidden = !turn.text;
    this.#checked.show(turn);
    if (turn.phase !== "completed") return;
    this.#drawGrounding(turn);
    this.#drawModel(turn);
    fill(this.element, "made", madeBy(turn));
  }

  #drawModel({ model, modelUrl }) {
    const link = part(this.element, "model");
    link.hidden = !(model && modelUrl);
    if (link.hidden) return;
    link.textContent = model;
    link.href = modelUrl;
  }

  #drawGrounding({ groundedness, text }) {
    const badge = part(this.element, "grounding");
    badge.hidden = groundedness === null;
    if (groundedness === null) return;
    const grade = groundedness >= WELL_GROUNDED ? "good" : groundedness >= PARTLY_GROUNDED ? "partial" : "poor";
    badge.dataset.grade = grade;
    const said = say(`grounding.${grade}`, { share: percent(groundedness) });
    // a title is nothing on a touch screen: the mark is explained where the answer ends
    const isMarked = (text ?? "").includes("[?]");
    part(badge, "grounding-text").textContent = isMarked ? `${said} · ${say("grounding.legend", { mark: "[?]" })}` : said;
  }

  // Fill a part when its value is a new one: drawing a <details> again would close it under the reader's hand.
  #once(name, value, make) {
    if (this.#drawn[name] === value) return;
    this.#drawn[name] = value;
    part(this.element, name).replaceChildren(...(value ? make(value) : []));
  }

  #onClick(event) {
    const link = event.target.closest("a.citation");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const source = sourceOf(this.#turn, Number(link.dataset.marker));
    if (!source) return;
    event.preventDefault();
    this.dispatchEvent(new CustomEvent("source", { detail: source }));
  }

  async #copy() {
    const sources = this.#turn.citations.map(sourceLine);
    const text = [this.#turn.text.trim(), sources.join("\n")].filter(Boolean).join("\n\n");
    const label = part(this.element, "copy-label");
    label.textContent = say((await copyText(text)) ? "copy.done" : "copy.failed");
    setTimeout(() => (label.textContent = say("copy.offer")), 2500);
  }
}

function passageCard(passage) {
  const card = clone("passage-template");
  fill(card, "marker", String(passage.marker));
  fill(card, "document", passage.document);
  fill(card, "place", sourcePlace(passage));
  fill(card, "first-words", passage.quote);
  fill(card, "heading", passage.heading);
  fill(card, "quote", passage.quote);
  part(card, "open").href = passage.url;
  return card;
}

function noticeItem({ message }) {
  const item = clone("notice-template");
  fill(item, "text", message);
  return item;
}

function madeBy({ model, modelUrl, usage }) {
  const seconds = usage?.seconds;
  return [modelUrl ? "" : model, seconds ? say("made.seconds", { count: number(seconds, seconds < 10 ? 1 : 0) }) : ""]
    .filter(Boolean)
    .join(" · ");
}

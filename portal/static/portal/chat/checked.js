// "I have checked this against the guideline": one quiet control under an answer. Nobody has to; it can be taken back
// for a minute, and what was said stands again when the page is loaded anew.

import { part } from "./elements.js";
import { say } from "./strings.js";

let known; // {url, token, turns: {id: {at, undo_seconds}}}, as the page was made

function page() {
  known ??= { ...JSON.parse(document.getElementById("chat-data").textContent).checks };
  return known;
}

export class Checked {
  #box;
  #turn = "";
  #timer = 0;

  constructor(box) {
    this.#box = box;
    part(box, "check-do").addEventListener("click", () => this.#send(true));
    part(box, "check-undo").addEventListener("click", () => this.#send(false));
  }

  /** Offer it under an answer that stands on something. */
  show({ turn, phase, citations, groundedness }) {
    this.#box.hidden = phase !== "completed" || !turn || (!citations.length && groundedness === null);
    if (this.#box.hidden || this.#turn === turn) return;
    this.#turn = turn;
    this.#draw(page().turns[turn] ?? null);
  }

  async #send(isWanted) {
    const body = new FormData();
    body.set("checked", isWanted ? "1" : "");
    const headers = { "X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]").value };
    const address = page().url.replace("00000000-0000-0000-0000-000000000000", this.#turn);
    try {
      const response = await fetch(address, { method: "POST", credentials: "same-origin", headers, body });
      if (!response.ok || response.redirected) throw new Error(String(response.status));
      this.#draw((await response.json()).check);
      part(this.#box, "check-said").textContent = say(isWanted ? "check.done" : "check.undone");
      part(this.#box, isWanted ? "check-undo" : "check-do").focus();
    } catch {
      part(this.#box, "check-problem").textContent = say("check.failed");
    }
  }

  #draw(check) {
    clearTimeout(this.#timer);
    const undo = part(this.#box, "check-undo");
    part(this.#box, "check-do").hidden = check !== null;
    part(this.#box, "check-done").hidden = check === null;
    undo.hidden = !check?.undo_seconds;
    part(this.#box, "check-problem").textContent = "";
    if (check?.undo_seconds) this.#timer = setTimeout(() => (undo.hidden = true), check.undo_seconds * 1000);
  }
}

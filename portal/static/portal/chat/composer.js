// The field in which a question is written, and its buttons.

import { number, say } from "./strings.js";

const COUNTED_BELOW = 1_000; // characters left

/**
 * Emits "send", "stop" and "edit". `mode`: "ready"; "waiting" while there is no connection; "running" while an answer is
 * on its way; "stopping"; "closed" when this page cannot send any more. Text can be written in each of them, and sent in
 * all but the last: a person in danger never waits for an answer to end.
 */
export class Composer extends EventTarget {
  #form;
  #field;
  #send;
  #stop;
  #counter;
  #mode = "ready";

  constructor(form) {
    super();
    this.#form = form;
    this.#field = form.elements.question;
    this.#send = form.querySelector("[data-part=send]");
    this.#stop = form.querySelector("[data-part=stop]");
    this.#counter = form.querySelector("[data-part=counter]");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener("keydown", (event) => {
      const submits = event.key === "Enter" && !event.shiftKey && !event.isComposing;
      if (!submits) return;
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener("input", () => {
      this.#refresh();
      this.dispatchEvent(new Event("edit"));
    });
    for (const choice of [form.elements.effort, form.elements.quote]) {
      choice.addEventListener("change", () => {
        this.#refresh();
        this.dispatchEvent(new Event("edit"));
      });
    }
    this.#stop.addEventListener("click", () => this.dispatchEvent(new Event("stop")));
    this.#refresh();
  }

  get text() {
    return this.#field.value;
  }

  set text(text) {
    this.#field.value = text;
    this.#refresh();
  }

  // How the question is to be answered: {effort, answer}; `answer` is "model", or "quotation" for the guidelines' words.
  get wish() {
    const { effort, quote } = this.#form.elements;
    return { effort: effort.value, answer: quote.checked ? "quotation" : "model" };
  }

  set wish({ effort, answer = "model" }) {
    this.#form.elements.effort.value = effort;
    this.#form.elements.quote.checked = answer === "quotation";
    this.#refresh();
  }

  set mode(mode) {
    this.#mode = mode;
    this.#refresh();
  }

  focus() {
    this.#field.focus();
  }

  #submit() {
    if (this.#mode !== "closed" && this.#isSendable()) this.dispatchEvent(new Event("send"));
  }

  #isSendable() {
    return this.text.trim() !== "" && this.#left() >= 0;
  }

  // Characters as the server counts them: code points, without the space around the question.
  #left() {
    return Number(this.#field.dataset.limit) - [...this.text.trim()].length;
  }

  #refresh() {
    const isRunning = this.#mode === "running" || this.#mode === "stopping";
    this.#form.elements.effort.disabled = this.#form.elements.quote.checked; // nobody reasons
    this.#field.parentElement.dataset.text = this.text; // its shadow gives the field its height
    this.#stop.hidden = !isRunning;
    this.#stop.disabled = this.#mode === "stopping";
    this.#send.hidden = isRunning;
    this.#send.setAttribute("aria-disabled", String(this.#mode !== "ready" || !this.#isSendable()));
    this.#send.querySelector("[data-part=send-label]").textContent = say(
      this.#mode === "waiting" ? "composer.waiting" : "composer.send",
    );
    this.#send.dataset.waiting = String(this.#mode === "waiting");
    const left = this.#left();
    this.#counter.hidden = left > COUNTED_BELOW;
    this.#counter.dataset.over = String(left < 0);
    this.#counter.textContent =
      left < 0 ? say("composer.over", { count: number(-left) }) : say("composer.left", { count: number(left) });
  }
}

// <chat-session>: one conversation. Holds the turns, the socket and the composer together; what each of them does is
// in its own module. Stored and live turns take the same way: events, applied to a state, drawn by a view.

import { showSource } from "./citation-dialog.js";
import { Composer } from "./composer.js";
import { Draft } from "./draft.js";
import { fill, part } from "./elements.js";
import { followEnd } from "./follow.js";
import { watchServices } from "./service-banner.js";
import { ConversationSocket } from "./socket.js";
import { say, sayCount } from "./strings.js";
import { applyEvent, isFinal, newTurn, phaseOfState } from "./turn.js";
import { TurnView, statusText } from "./turn-view.js";
import { newUuid } from "./uuid.js";

const LOST_SHOWN_AFTER_MS = 1500; // most interruptions are over before anybody needs to hear of them

class ChatSession extends HTMLElement {
  #entries = []; // {turn, view, stopping}, in the order in which they were asked
  #socket;
  #composer;
  #draft;
  #page;
  #toEnd;
  #lostTimer = 0;
  #wanted = null; // what was sent before there was a connection

  connectedCallback() {
    const data = JSON.parse(document.getElementById("chat-data").textContent);
    this.#page = data.page;
    this.#draft = new Draft(data.conversation);
    this.#composer = new Composer(part(this, "composer"));
    this.#socket = new ConversationSocket(data.socket);
    for (const stored of data.turns) this.#addStored(stored);
    this.#listen();
    this.#restoreDraft();
    this.#toEnd = followEnd(part(this, "log"), part(this, "dock"), part(this, "jump"));
    watchServices(part(this, "service"), data.parts, data.status_url);
    this.#refresh();
    this.#socket.start();
  }

  #listen() {
    this.#composer.addEventListener("send", () => this.#ask(this.#composer.text.trim(), this.#composer.wish));
    this.#composer.addEventListener("stop", () => this.#stop());
    this.#composer.addEventListener("edit", () => this.#keepDraft());
    this.#socket.addEventListener("open", () => this.#onOpen());
    this.#socket.addEventListener("frame", ({ detail }) => this.#onFrame(detail));
    this.#socket.addEventListener("lost", ({ detail }) => this.#onLost(detail));
    this.#socket.addEventListener("ended", ({ detail }) => this.#onEnded(detail));
    part(this, "problem-close").addEventListener("click", () => this.#tell(""));
    for (const example of this.querySelectorAll("[data-example]")) {
      example.addEventListener("click", () => this.#ask(example.textContent.trim(), this.#composer.wish));
    }
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing || document.querySelector("dialog[open]")) return;
      this.#stop();
    });
  }

  // --- turns -------------------------------------------------------------------------------------------------------

  #addStored(stored) {
    const known = newTurn({
      turn: stored.turn,
      clientRef: stored.client_ref,
      question: stored.question,
      effort: stored.effort,
      answer: stored.answer,
      askedAt: stored.asked_at,
      phase: stored.events.length ? "sending" : phaseOfState(stored.state),
    });
    this.#add(stored.events.reduce(applyEvent, known));
  }

  #add(turn) {
    const view = new TurnView(turn);
    const entry = { turn, view, stopping: false };
    view.addEventListener("source", ({ detail }) => showSource(detail));
    view.addEventListener("again", () => this.#ask(entry.turn.question, entry.turn));
    this.#entries.push(entry);
    part(this, "log").append(view.element);
    for (const start of this.querySelectorAll("[data-start]")) start.hidden = true;
    return entry;
  }

  #find({ turn, client_ref: clientRef }) {
    return this.#entries.find(
      (entry) => (turn && entry.turn.turn === turn) || (clientRef && entry.turn.clientRef === clientRef),
    );
  }

  get #running() {
    return this.#entries.find((entry) => !isFinal(entry.turn));
  }

  #update(entry, event) {
    const before = entry.turn;
    entry.turn = applyEvent(before, event);
    if (entry.turn === before) return;
    entry.view.show(entry.turn);
    const isNext = entry.turn.phase === "queued" && entry.turn.position === 1 && before.position !== 1;
    if (entry.turn.phase !== before.phase || isNext) this.#onPhase(entry.turn);
  }

  #onPhase(turn) {
    const said = {
      preparing: () => sayCount("passages", turn.passages.length),
      completed: () => say("said.completed"),
      cancelled: () => say("outcome.cancelled"),
      redirected: () => "", // the card speaks for itself
      refused: () => turn.message,
      failed: () => turn.message,
    }[turn.phase];
    this.#announce(said ? said() : statusText(turn));
    this.#refresh();
  }

  // --- asking and stopping -----------------------------------------------------------------------------------------

  // While an answer runs the server decides: it takes a crisis at once and hands everything else back.
  #ask(question, { effort, answer }) {
    if (!this.#socket.isOpen) {
      this.#askWhenOpen(question, { effort, answer });
      return;
    }
    if (this.#running?.turn.phase === "sending") {
      this.#tell(say("composer.blocked"));
      return;
    }
    const { sent } = this.#draft.read();
    // Sent before, and perhaps received, without a word from the server: the same reference makes it the same turn.
    const clientRef = sent?.question === question ? sent.clientRef : newUuid();
    if (this.#composer.text.trim() === question) this.#composer.text = "";
    this.#keepDraft({ sent: { clientRef, question } });
    this.#tell("");
    const { turn } = this.#add(newTurn({ clientRef, question, effort, answer, askedAt: new Date().toISOString() }));
    this.#start(turn);
    this.#announce(statusText(turn));
    this.#refresh();
    this.#toEnd();
    this.#composer.focus();
  }

  // Sent before the connection stands: it goes as soon as it does, unless somebody has changed the words by then.
  #askWhenOpen(question, wish) {
    this.#composer.text = question;
    this.#wanted = { question, wish };
    this.#keepDraft();
    this.#tell(say("composer.waiting"));
  }

  #start({ clientRef, question, effort, answer }) {
    this.#socket.send({ type: "turn.start", client_ref: clientRef, text: question, effort, answer });
  }

  #stop() {
    const running = this.#running;
    if (!running || running.stopping) return;
    running.stopping = true;
    this.#sendStop(running);
    this.#announce(say("status.stopping"));
    this.#refresh();
  }

  // Also after a reconnection, and as soon as a turn that was stopped at once has its id.
  #sendStop({ turn }) {
    if (turn.turn) this.#socket.send({ type: "turn.cancel", turn: turn.turn });
  }

  // The server would not take it: the words go back to where they were written.
  #takeBack(entry) {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    entry.view.element.remove();
    this.#composer.text = [entry.turn.question, this.#composer.text].filter((text) => text.trim()).join("\n\n");
    this.#keepDraft({ sent: undefined });
    this.#refresh();
  }

  // --- the draft ---------------------------------------------------------------------------------------------------

  #restoreDraft() {
    const { text = "", effort, answer, sent } = this.#draft.read();
    const isLost = sent && !this.#find({ client_ref: sent.clientRef });
    this.#composer.text = [isLost ? sent.question : "", text].filter(Boolean).join("\n\n");
    if (effort) this.#composer.wish = { effort, answer };
    if (sent && !isLost) this.#keepDraft({ sent: undefined });
  }

  // The start page hands out a fresh conversation each time: from the first letter on, a reload must find this one.
  #keepDraft(change = {}) {
    if (location.pathname !== this.#page) history.replaceState(null, "", this.#page);
    const { sent } = this.#draft.read();
    this.#draft.write({ text: this.#composer.text, ...this.#composer.wish, sent, ...change });
  }

  // --- the socket --------------------------------------------------------------------------------------------------

  #onOpen() {
    for (const entry of this.#entries.filter(({ turn }) => !isFinal(turn))) {
      const { turn } = entry;
      if (turn.turn) this.#socket.send({ type: "turn.resume", turn: turn.turn, after: turn.lastId });
      else this.#start(turn);
      if (entry.stopping) this.#sendStop(entry);
    }
    this.#refresh();
    const wanted = this.#wanted;
    this.#wanted = null;
    if (wanted && this.#composer.text.trim() === wanted.question) this.#ask(wanted.question, wanted.wish);
  }

  #onFrame(frame) {
    this.#onHeard();
    if (frame.type === "error") {
      this.#onError(frame);
      return;
    }
    if (frame.type === "pong") return;
    let entry = this.#find(frame);
    if (!entry && frame.type === "turn.accepted") {
      entry = this.#add(newTurn({ clientRef: frame.client_ref })); // asked in another tab
    }
    if (!entry) return;
    this.#update(entry, frame);
    if (frame.type !== "turn.accepted") return;
    if (this.#draft.read().sent?.clientRef === frame.client_ref) this.#keepDraft({ sent: undefined });
    if (entry.stopping) this.#sendStop(entry);
  }

  #onError({ message, client_ref: clientRef }) {
    const unheard = this.#entries.find(({ turn }) => turn.phase === "sending" && turn.clientRef === clientRef);
    if (unheard) this.#takeBack(unheard);
    for (const entry of this.#entries) entry.stopping = false; // if it was the stop that failed, it may be tried again
    this.#refresh();
    this.#tell(message);
  }

  #onLost({ idle, tooMany }) {
    this.#refresh();
    this.#lostTimer ||= setTimeout(
      () => this.#showConnection(say(idle ? "connection.idle" : tooMany ? "connection.busy" : "connection.lost")),
      tooMany ? 0 : LOST_SHOWN_AFTER_MS,
    );
  }

  // The server has spoken: only now is the connection back, an open socket may close again at once.
  #onHeard() {
    clearTimeout(this.#lostTimer);
    this.#lostTimer = 0;
    part(this, "connection").hidden = true;
  }

  #onEnded(reason) {
    this.#composer.mode = "closed";
    this.#showConnection(say(`connection.${reason}`));
    const signIn = part(this, "sign-in");
    signIn.hidden = reason !== "signed-out";
    signIn.search = new URLSearchParams({ next: this.#page });
  }

  // --- what is said ------------------------------------------------------------------------------------------------

  #refresh() {
    const running = this.#running;
    if (running) this.#composer.mode = running.stopping ? "stopping" : "running";
    else this.#composer.mode = this.#socket.isOpen ? "ready" : "waiting";
    this.#socket.busy = Boolean(running);
  }

  #showConnection(text) {
    fill(this, "connection-text", text);
    part(this, "connection").hidden = false;
  }

  #tell(text) {
    fill(this, "problem-text", text);
    part(this, "problem").hidden = !text;
  }

  #announce(text) {
    part(this, "announcer").textContent = text;
  }
}

customElements.define("chat-session", ChatSession);

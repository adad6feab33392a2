// The state of one turn and what each event makes of it. Pure: the same events give the same state, whether they come
// live, a second time after a reconnection, or from the stored conversation.

import { compareEventIds } from "./event-id.js";

/** Phases in which nothing more will come. */
export const FINAL = new Set(["completed", "redirected", "refused", "cancelled", "failed"]);

/** A turn that nobody has heard of yet, or one known from the page but not from its events. */
export function newTurn({ turn = "", clientRef = "", question = "", effort = "low", answer = "model", askedAt = "", phase = "sending" }) {
  return {
    turn,
    clientRef,
    question,
    effort,
    answer,
    askedAt,
    phase,
    position: 0,
    etaSeconds: 0,
    covered: true,
    passages: [],
    citations: [],
    text: "",
    html: null,
    crisis: null,
    notices: [],
    message: "",
    code: "",
    rule: "",
    groundedness: null,
    usage: null,
    model: "",
    quotation: "",
    modelUrl: "",
    lastId: "",
  };
}

/** The phase in which to show a running turn of which only the stored state is known. */
export function phaseOfState(state) {
  if (FINAL.has(state)) return state;
  return state === "generating" ? "preparing" : "retrieving";
}

export const isFinal = (turn) => FINAL.has(turn.phase);

/**
 * @param {object} turn a state made by newTurn or applyEvent; never changed
 * @param {object} event a frame of the server that belongs to this turn
 * @returns {object} the next state, or `turn` itself when the event has been applied before or changes nothing
 */
export function applyEvent(turn, event) {
  const change = CHANGES[event.type];
  if (!change || isFinal(turn)) return turn;
  // An end counts whatever its id: it is told from the database when the stream with its ids is gone.
  const ends = FINAL.has(event.type.replace("turn.", ""));
  if (event.id && !ends && compareEventIds(event.id, turn.lastId) <= 0) return turn;
  const lastId = event.id && compareEventIds(event.id, turn.lastId) > 0 ? event.id : turn.lastId;
  const next = { ...turn, ...change(turn, event), lastId };
  // Whatever is told next was written down: the notice that something waits for that has served its time.
  const waits = event.type !== "guardrail.notice" && event.id && next.notices.some(isNotWritten);
  return waits ? { ...next, notices: next.notices.filter((notice) => !isNotWritten(notice)) } : next;
}

const isNotWritten = (notice) => notice.rule === "turn.not_written_yet";

const CHANGES = {
  "turn.accepted": (turn, event) => ({
    turn: event.turn,
    clientRef: event.client_ref ?? turn.clientRef,
    question: event.question ?? turn.question,
    effort: event.effort ?? turn.effort,
    answer: event.answer ?? turn.answer,
    askedAt: event.asked_at ?? turn.askedAt,
    ...(turn.phase === "sending" && waiting(turn, event.position ?? 0, 0)),
  }),
  "crisis.detected": (turn, event) => ({
    crisis: { level: event.level, message: event.message ?? "", hotlines: event.hotlines ?? [] },
  }),
  "guardrail.notice": (turn, event) => {
    const known = turn.notices.some((notice) => notice.rule === event.rule && notice.message === event.message);
    return known ? {} : { notices: [...turn.notices, { rule: event.rule, message: event.message }] };
  },
  // A turn that is queued again after its worker was lost begins its answer anew. Seconds are null where nothing is
  // measured yet, and come again with each new place.
  "turn.queued": (turn, event) => ({ text: "", ...waiting(turn, event.position ?? 0, event.eta_seconds ?? 0) }),
  "turn.passages": (turn, event) => ({
    phase: "preparing",
    passages: event.passages ?? [],
    covered: event.covered !== false,
  }),
  "turn.reasoning": (turn) => (turn.text ? {} : { phase: "reasoning" }),
  "turn.delta": (turn, event) => ({ phase: "answering", text: turn.text + event.text }),
  "turn.completed": (turn, event) => ({
    ...answer(turn, event),
    phase: "completed",
    quotation: event.quotation ?? "",
    groundedness: event.groundedness ?? null,
    usage: event.usage ?? null,
    model: event.model ?? "",
    modelUrl: event.model_url ?? "",
  }),
  "turn.cancelled": (turn, event) => ({ ...answer(turn, event), phase: "cancelled", code: event.code ?? "" }),
  "turn.redirected": () => ({ phase: "redirected" }),
  "turn.refused": (turn, event) => ({ phase: "refused", rule: event.rule ?? "", message: event.message ?? "" }),
  "turn.failed": (turn, event) => ({ phase: "failed", message: event.message ?? "", text: event.text ?? turn.text }),
};

function waiting(turn, position, etaSeconds) {
  const next = turn.passages.length ? "preparing" : "retrieving";
  return { phase: position > 0 ? "queued" : next, position, etaSeconds };
}

function answer(turn, event) {
  return { text: event.text ?? turn.text, html: event.html ?? null, citations: event.citations ?? [] };
}

/** What marker [n] of this turn stands for, or undefined: the finished citation, or the passage while text streams. */
export function sourceOf(turn, marker) {
  const isIt = (source) => source.marker === marker;
  return turn.citations.find(isIt) ?? turn.passages.find(isIt);
}

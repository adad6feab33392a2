import assert from "node:assert/strict";
import { test } from "node:test";
import { applyEvent, isFinal, newTurn, phaseOfState, sourceOf } from "../../portal/static/portal/chat/turn.js";

const PASSAGE = { marker: 1, document: "Safety planning", version: "v1", page: 4, quote: "Six steps.", url: "/p/1/" };
const LIFE = [
  { type: "turn.accepted", turn: "t", client_ref: "c", position: 2, question: "Why?", effort: "high", asked_at: "now" },
  { type: "turn.queued", position: 2, eta_seconds: 40 },
  { type: "turn.queued", position: 0, eta_seconds: 0 },
  { type: "turn.passages", passages: [PASSAGE], covered: true },
  { type: "turn.reasoning" },
  { type: "turn.delta", text: "Because " },
  { type: "turn.delta", text: "[1]." },
  { type: "turn.completed", html: "<p>…</p>", text: "Because [1].", citations: [PASSAGE], groundedness: 1, usage: {} },
].map((event, index) => ({ turn: "t", id: `100-${index}`, ...event }));

const after = (events, turn = newTurn({ clientRef: "c", question: "Why?" })) => events.reduce(applyEvent, turn);

test("a turn goes through its phases", () => {
  const phases = [];
  let turn = newTurn({ clientRef: "c" });
  for (const event of LIFE) phases.push((turn = applyEvent(turn, event)).phase);
  const expected = ["queued", "queued", "retrieving", "preparing", "reasoning", "answering", "answering", "completed"];
  assert.deepEqual(phases, expected);
  assert.equal(turn.text, "Because [1].");
  assert.equal(turn.effort, "high");
  assert.equal(turn.lastId, "100-7");
});

test("that something waits to be written down is said until it is", () => {
  const notice = { type: "guardrail.notice", rule: "turn.not_written_yet", message: "It is tried again.", turn: "t" };
  const other = { type: "guardrail.notice", rule: "input.dose", message: "Check the dose.", turn: "t" };
  const waits = applyEvent(after(LIFE.slice(0, 6)), { ...notice, id: "100-6" });
  assert.deepEqual(waits.notices.map((one) => one.rule), ["turn.not_written_yet"]);
  const goesOn = applyEvent(applyEvent(waits, { ...other, id: "100-7" }), { ...LIFE[6], id: "100-8" });
  assert.deepEqual(goesOn.notices.map((one) => one.rule), ["input.dose"]);
  assert.equal(goesOn.text, "Because [1].");
});

test("a waiting place and its time are kept until they change", () => {
  const turn = after(LIFE.slice(0, 2));
  assert.equal(turn.position, 2);
  assert.equal(turn.etaSeconds, 40);
});

test("a place that is told on one socket alone, behind the passages, is shown and taken away again", () => {
  const found = after(LIFE.slice(0, 4));
  const told = applyEvent(found, { type: "turn.queued", turn: "t", position: 3, eta_seconds: null });
  assert.deepEqual([told.phase, told.position, told.etaSeconds], ["queued", 3, 0]);
  assert.equal(told.lastId, found.lastId);
  const next = applyEvent(told, { type: "turn.queued", turn: "t", position: 0, eta_seconds: 0 });
  assert.equal(next.phase, "preparing");
  assert.equal(after(LIFE.slice(4), told).text, "Because [1].");
});

test("what was stopped by a person and what was left are told apart", () => {
  const end = { type: "turn.cancelled", id: "100-9", html: "", text: "", citations: [] };
  assert.equal(applyEvent(after(LIFE.slice(0, 4)), { ...end, code: "left" }).code, "left");
  assert.equal(applyEvent(after(LIFE.slice(0, 4)), end).code, "");
});

test("events that come a second time change nothing, wherever the connection broke", () => {
  const whole = after(LIFE);
  for (let cut = 0; cut <= LIFE.length; cut++) {
    for (let back = 0; back <= cut; back++) {
      assert.deepEqual(after([...LIFE.slice(0, cut), ...LIFE.slice(back)]), whole);
    }
  }
});

test("an old event leaves the very same state, so that nothing is drawn again", () => {
  const turn = after(LIFE.slice(0, 6));
  assert.equal(applyEvent(turn, LIFE[5]), turn);
  assert.equal(applyEvent(turn, { type: "turn.unheard-of", id: "999-0" }), turn);
});

test("a turn told from the database after its stream has expired ends, and does not begin again", () => {
  const seen = after(LIFE.slice(0, 6));
  const stored = [LIFE[0], LIFE[3], LIFE[7]].map((event, index) => ({ ...event, id: `100-${100_000 + index}` }));
  const turn = after(stored, seen);
  assert.equal(turn.phase, "completed");
  assert.equal(turn.text, "Because [1].");
});

test("an end counts even with an older id, but only once", () => {
  const seen = after(LIFE.slice(0, 6));
  const failed = applyEvent(seen, { type: "turn.failed", code: "x", message: "Broke off.", id: "1-0" });
  assert.equal(failed.phase, "failed");
  assert.equal(failed.text, "Because ");
  assert.equal(failed.lastId, "100-5");
  assert.equal(applyEvent(failed, LIFE[7]), failed);
});

test("a second attempt takes back the first one's words", () => {
  const turn = after([
    ...LIFE.slice(0, 6),
    { type: "turn.queued", position: 0, eta_seconds: 0, id: "200-0" },
    { type: "turn.delta", text: "Once more", id: "200-1" },
  ]);
  assert.equal(turn.text, "Once more");
  assert.deepEqual(turn.passages, [PASSAGE]);
});

test("a crisis card stays while the turn goes on, and when it is redirected", () => {
  const crisis = { type: "crisis.detected", level: "third_party", message: "Call.", hotlines: [{ phone: "15" }], id: "100-9" };
  const going = after([LIFE[0], crisis, { ...LIFE[3], id: "101-0" }]);
  assert.equal(going.crisis.level, "third_party");
  assert.equal(going.phase, "preparing");
  const redirected = applyEvent(going, { type: "turn.redirected", id: "102-0" });
  assert.ok(isFinal(redirected));
  assert.equal(redirected.crisis.hotlines[0].phone, "15");
});

test("notices are kept once each", () => {
  const notice = { type: "guardrail.notice", rule: "r", message: "Careful." };
  const turn = after([LIFE[0], { ...notice, id: "101-0" }, { ...notice, id: "102-0" }]);
  assert.equal(turn.notices.length, 1);
});

test("a stopped turn keeps what was shown", () => {
  const turn = applyEvent(after(LIFE.slice(0, 6)), { type: "turn.cancelled", html: "<p>Because</p>", text: "Because ", id: "300-0" });
  assert.equal(turn.phase, "cancelled");
  assert.equal(turn.html, "<p>Because</p>");
});

test("a refusal keeps its rule and its sentence", () => {
  const turn = applyEvent(after(LIFE.slice(0, 1)), { type: "turn.refused", rule: "pii", message: "No names.", id: "300-0" });
  assert.deepEqual([turn.phase, turn.rule, turn.message], ["refused", "pii", "No names."]);
});

test("markers stand for passages while text streams, and only for those that exist", () => {
  assert.equal(sourceOf(after(LIFE.slice(0, 6)), 1), PASSAGE);
  assert.equal(sourceOf(after(LIFE.slice(0, 6)), 2), undefined);
});

test("states of the database have a phase to be shown in", () => {
  assert.equal(phaseOfState("queued"), "retrieving");
  assert.equal(phaseOfState("generating"), "preparing");
  assert.equal(phaseOfState("cancelled"), "cancelled");
});

test("a state is never changed in place", () => {
  let turn = Object.freeze(newTurn({ clientRef: "c" }));
  for (const event of LIFE) turn = Object.freeze(applyEvent(turn, event));
  assert.equal(turn.phase, "completed");
});

test("a quotation says why, and a model's answer says nothing of it", () => {
  const begun = after([{ ...LIFE[0], answer: "quotation" }, LIFE[3]]);
  assert.equal(begun.answer, "quotation");
  const end = { ...LIFE[7], quotation: "not_grounded" };
  assert.equal(after([...LIFE.slice(0, 7), end]).quotation, "not_grounded");
  assert.deepEqual([after(LIFE).quotation, after(LIFE).answer], ["", "model"]);
});

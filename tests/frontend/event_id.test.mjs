import assert from "node:assert/strict";
import { test } from "node:test";
import { compareEventIds } from "../../portal/static/portal/chat/event-id.js";

test("time counts before sequence, as numbers and not as text", () => {
  assert.ok(compareEventIds("999-0", "1000-0") < 0);
  assert.ok(compareEventIds("1000-9", "1000-10") < 0);
  assert.ok(compareEventIds("1001-0", "1000-99") > 0);
  assert.equal(compareEventIds("5-1", "5-1"), 0);
});

test("ids keep their 64 bits", () => {
  assert.ok(compareEventIds("18446744073709551614-0", "18446744073709551615-0") < 0);
  assert.ok(compareEventIds("1-9007199254740993", "1-9007199254740992") > 0);
});

test("no id comes before every id; an id without a sequence is its first", () => {
  assert.ok(compareEventIds("", "0-0") < 0);
  assert.equal(compareEventIds("", ""), 0);
  assert.equal(compareEventIds("7", "7-0"), 0);
});

test("sorting is total: any order of arrival gives the same order", () => {
  const ids = ["", "1-0", "1-1", "2-0", "10-0", "10-2", "10-10"];
  for (let round = 0; round < 50; round++) {
    const shuffled = [...ids].sort(() => Math.random() - 0.5);
    assert.deepEqual(shuffled.sort(compareEventIds), ids);
  }
});

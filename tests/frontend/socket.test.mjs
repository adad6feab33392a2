import assert from "node:assert/strict";
import { test } from "node:test";
import { retryDelay } from "../../portal/static/portal/chat/socket.js";

test("waits longer each time, up to half a minute", () => {
  const waits = Array.from({ length: 20 }, (_, attempt) => retryDelay(attempt, 1006, 1));
  assert.deepEqual(waits.slice(0, 4), [500, 1000, 2000, 4000]);
  assert.equal(waits.at(-1), 30_000);
});

test("luck spreads the returns over the second half of the wait", () => {
  assert.equal(retryDelay(2, 1006, 0), 1000);
  assert.equal(retryDelay(2, 1006, 1), 2000);
});

test("a server that has too many gets a rest", () => {
  assert.ok(retryDelay(0, 4429, 0) >= 7_500);
});

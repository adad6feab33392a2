import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBlocks, parseInline } from "../../portal/static/portal/chat/markdown.js";

const ANSWER = `## Steps

A plan has **six** steps [1]:

1. Warning signs.
2. Coping
   alone [2].

- one
- two

\`\`\`
code **as it is**
\`\`\`
After.`;

const shape = (text) => parseBlocks(text).map(({ source, ...block }) => block);

test("headings, paragraphs, lists and code", () => {
  assert.deepEqual(shape(ANSWER), [
    { kind: "heading", text: "Steps" },
    { kind: "paragraph", text: "A plan has **six** steps [1]:" },
    { kind: "list", ordered: true, start: 1, items: ["Warning signs.", "Coping alone [2]."] },
    { kind: "list", ordered: false, start: 1, items: ["one", "two"] },
    { kind: "code", text: "code **as it is**" },
    { kind: "paragraph", text: "After." },
  ]);
});

test("a list with blank lines between its items is one list, and keeps its first number", () => {
  assert.deepEqual(shape("3. c\n\n4. d"), [{ kind: "list", ordered: true, start: 3, items: ["c", "d"] }]);
});

test("a text that ends a list begins a paragraph", () => {
  assert.deepEqual(shape("- a\n\nb").map((block) => block.kind), ["list", "paragraph"]);
});

test("emphasis, code and markers", () => {
  assert.deepEqual(parseInline("a **b** *c* `d` [12] [x]"), [
    { kind: "text", text: "a " },
    { kind: "strong", text: "b" },
    { kind: "text", text: " " },
    { kind: "em", text: "c" },
    { kind: "text", text: " " },
    { kind: "code", text: "d" },
    { kind: "text", text: " " },
    { kind: "citation", marker: 12 },
    { kind: "text", text: " [x]" },
  ]);
});

test("an unsupported sentence keeps its mark", () => {
  assert.deepEqual(parseInline("a [?]."), [
    { kind: "text", text: "a " },
    { kind: "unsupported", text: "[?]" },
    { kind: "text", text: "." },
  ]);
});

test("no character is lost and none invented, wherever the text is cut", () => {
  const letters = (text) => text.replace(/[^\p{L}]/gu, "");
  for (let cut = 0; cut <= ANSWER.length; cut++) {
    const blocks = parseBlocks(ANSWER.slice(0, cut));
    const shown = blocks
      .flatMap((block) => block.items ?? [block.text])
      .map((text) => parseInline(text).map((piece) => piece.text ?? "").join(""))
      .join("");
    assert.equal(letters(shown), letters(ANSWER.slice(0, cut)));
  }
});

test("blocks that are done keep their source while the text grows", () => {
  const first = parseBlocks("One.\n\nTw");
  const second = parseBlocks("One.\n\nTwo.");
  assert.equal(first[0].source, second[0].source);
  assert.notEqual(first[1].source, second[1].source);
});

test("hostile text takes no hostile time", () => {
  for (const text of ["*".repeat(20_000), "[".repeat(20_000), "**a".repeat(7_000), "`".repeat(20_000), "# ".repeat(9_000)]) {
    parseBlocks(text).flatMap((block) => (block.items ?? [block.text]).map(parseInline));
  }
});

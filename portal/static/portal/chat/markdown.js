// Just enough Markdown to read an answer while it streams; the server's own rendering replaces it at the end. Pure:
// text in, a plain tree out, so that nothing a model writes can become HTML.

const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const BULLET = /^\s{0,3}[-*+]\s+(.*)$/;
const NUMBER = /^\s{0,3}(\d{1,9})[.)]\s+(.*)$/;
const FENCE = /^\s{0,3}(```|~~~)/;
const INLINE = /\*\*(.+?)\*\*|__(.+?)__|\*([^*\s][^*]*?)\*|`([^`]+)`|\[(\d{1,2})\]|(\[\?\])/g;

/**
 * @param {string} text an answer, possibly cut off anywhere
 * @returns {{kind: "heading"|"paragraph"|"list"|"code", text?: string, ordered?: boolean, start?: number,
 *   items?: string[], source: string}[]} `source` is equal exactly when the block is
 */
export function parseBlocks(text) {
  const blocks = [];
  let open = null;
  let fenced = false;
  for (const line of text.split("\n")) {
    if (FENCE.test(line)) {
      fenced = !fenced;
      if (fenced) blocks.push((open = { kind: "code", text: "" }));
      else open = null;
    } else if (fenced) {
      open.text += open.text ? `\n${line}` : line;
    } else if (!line.trim()) {
      open = open?.kind === "list" ? { ...open, ended: true } : null;
    } else {
      open = readLine(line, blocks, open);
    }
  }
  return blocks.map((block) => ({ ...block, source: JSON.stringify(block) }));
}

function readLine(line, blocks, open) {
  const heading = HEADING.exec(line);
  if (heading) {
    blocks.push({ kind: "heading", text: heading[2] });
    return null;
  }
  const number = NUMBER.exec(line);
  const bullet = BULLET.exec(line);
  if (number || bullet) return readItem(blocks, open, Boolean(number), number ? number[2] : bullet[1], number?.[1]);
  if (open?.kind === "list" && !open.ended) {
    open.items[open.items.length - 1] += ` ${line.trim()}`;
    return open;
  }
  if (open?.kind === "paragraph") {
    open.text += `\n${line.trim()}`;
    return open;
  }
  const paragraph = { kind: "paragraph", text: line.trim() };
  blocks.push(paragraph);
  return paragraph;
}

function readItem(blocks, open, ordered, item, number) {
  const last = blocks.at(-1);
  if (open?.kind === "list" && last?.kind === "list" && last.ordered === ordered) {
    last.items.push(item);
    return last;
  }
  const list = { kind: "list", ordered, start: ordered ? Number(number) : 1, items: [item] };
  blocks.push(list);
  return list;
}

/**
 * @param {string} text one paragraph or list item
 * @returns {({kind: "text"|"strong"|"em"|"code", text: string} | {kind: "citation", marker: number}
 *   | {kind: "unsupported", text: string})[]}
 */
export function parseInline(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > end) pieces.push({ kind: "text", text: text.slice(end, match.index) });
    const [, stars, underscores, emphasis, code, marker, unsupported] = match;
    if (unsupported) pieces.push({ kind: "unsupported", text: unsupported });
    else if (marker) pieces.push({ kind: "citation", marker: Number(marker) });
    else if (code) pieces.push({ kind: "code", text: code });
    else if (emphasis) pieces.push({ kind: "em", text: emphasis });
    else pieces.push({ kind: "strong", text: stars ?? underscores });
    end = match.index + match[0].length;
  }
  if (end < text.length) pieces.push({ kind: "text", text: text.slice(end) });
  return pieces;
}

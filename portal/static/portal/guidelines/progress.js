// How far the reading of each file is. Asked while something is being read; then the server draws the list anew.

import { list, redraw } from "./list.js";

const POLL_MS = 1500;
const watchers = new Map(); // version: what to call with each word about it

let isPolling = false;

/** Call `tell` with {ingestion, done, total, left, error, url} of a version until it has ended. */
export function watch(version, tell) {
  watchers.set(version, tell);
  poll();
}

/** Ask as long as something on the page is unfinished. */
export async function poll() {
  if (isPolling) return;
  isPolling = true;
  while (watchers.size || list().querySelector("[data-version]") || document.querySelector("[data-building]")) {
    try {
      const response = await fetch(list().dataset.progress, { headers: { Accept: "application/json" } });
      if (response.ok && draw(await response.json())) await redraw();
    } catch {
      // the server is away for a moment; ask again
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  isPolling = false;
}

const isEnded = (version) => ["indexed", "failed"].includes(version.ingestion);

/** The step that a version is in, how far it is, and how long it will take. */
export function stepText(version) {
  const counted = version.total && !isEnded(version) ? ` ${version.done} / ${version.total}` : "";
  return (list().dataset[version.ingestion] ?? "") + counted;
}

/** Returns whether a version that is shown has ended, or an index, so that there is more to say than a bar does. */
function draw({ versions, building }) {
  let hasEnded = false;
  for (const version of versions) {
    watchers.get(version.id)?.(version);
    if (isEnded(version)) watchers.delete(version.id);
    const row = list().querySelector(`[data-version="${version.id}"]`);
    if (row) {
      hasEnded ||= isEnded(version);
      if (!isEnded(version)) drawBar(row, version, stepText(version));
    }
  }
  const panel = document.querySelector("[data-building]");
  if (panel) hasEnded = !drawBuilding(panel, building) || hasEnded;
  return hasEnded;
}

function drawBar(row, { done, total, left }, text) {
  const bar = row.querySelector("progress");
  if (total) {
    bar.max = total;
    bar.value = done;
  }
  row.querySelector("[data-step]").textContent = text;
  const rest = row.querySelector("[data-left]");
  if (rest) rest.textContent = left ? `· ${left}` : "";
}

/** Returns whether the index that is shown is still being built. */
function drawBuilding(panel, building) {
  if (building?.id !== panel.dataset.building) return false;
  const left = building.left ? ` · ${building.left}` : "";
  drawBar(panel, { ...building, left: "" }, `${building.done} / ${building.total}${left}`);
  return true;
}

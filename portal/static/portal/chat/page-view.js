// A page of a guideline as a picture: it is being drawn, cannot be drawn, is enlarged, shows the marked words first.

import { part } from "./elements.js";

/** Bring a page inside `root` to life, if there is one. */
export function showPage(root) {
  const view = part(root, "page-view");
  if (!view) return;
  const pane = part(view, "pane");
  const image = pane.querySelector("img");
  const toMarked = () => {
    const share = Number(pane.dataset.markedFrom ?? 0) / 100;
    pane.scrollTop = Math.max(0, share * image.clientHeight - pane.clientHeight / 4);
  };
  const settle = (isDrawn) => {
    view.setAttribute("aria-busy", "false");
    part(view, "loading").hidden = true;
    part(view, "failed").hidden = isDrawn;
    image.hidden = !isDrawn;
    if (isDrawn) toMarked();
  };
  const wait = () => {
    view.setAttribute("aria-busy", "true");
    part(view, "loading").hidden = false;
    part(view, "failed").hidden = true;
  };
  const fail = async () => {
    settle(false);
    const reason = await reasonOf(image.src);
    if (reason) part(view, "failed").textContent = reason;
  };
  image.addEventListener("load", () => settle(true));
  image.addEventListener("error", fail);
  if (!image.complete) wait();
  else if (image.naturalWidth) settle(true);
  else fail();

  const enlarge = part(view, "enlarge");
  enlarge.hidden = false;
  enlarge.addEventListener("click", () => {
    const isLarge = enlarge.getAttribute("aria-pressed") !== "true";
    enlarge.setAttribute("aria-pressed", String(isLarge));
    view.classList.toggle("page-view--large", isLarge);
    if (isLarge && image.src !== enlarge.dataset.large) image.src = enlarge.dataset.large; // sharp when it has come
    toMarked();
    pane.focus();
  });
}

/** The sentence with which the server says why there is no picture; empty when it says nothing. */
async function reasonOf(address) {
  try {
    const response = await fetch(address, { credentials: "same-origin" });
    const isSaid = response.headers.get("Content-Type")?.startsWith("text/plain");
    return !response.ok && isSaid ? await response.text() : "";
  } catch {
    return "";
  }
}

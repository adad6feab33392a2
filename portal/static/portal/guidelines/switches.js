// Switching a guideline off and on without leaving the page, with a way back.

import { list, parsed, replaceList } from "./list.js";

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-switch]")) return;
  event.preventDefault();
  let response;
  try {
    response = await fetch(form.action, { method: "POST", body: new FormData(form) });
    if (response.ok && !new URL(response.url).pathname.startsWith(location.pathname)) throw new Error("signed out");
    if (response.ok && location.search) response = await again(response); // the filters are this page's own
  } catch {
    response = { ok: false };
  }
  if (!response.ok) {
    form.submit(); // let the browser show what is wrong
    return;
  }
  const { page, notices } = response.page ? response : { page: parsed(await response.text()) };
  const undo = document.createElement("button");
  undo.className = "button button--small";
  undo.textContent = list().dataset.undo;
  undo.setAttribute("form", form.id); // the same form again, which now stands for the opposite
  replaceList(page);
  const shown = document.getElementById("notices");
  shown.replaceChildren(...(notices ?? page.getElementById("notices")).children);
  if (document.getElementById(form.id)) shown.lastElementChild?.append(undo);
});

/** The message of the answer, and the list with this page's filters. */
async function again(response) {
  const notices = parsed(await response.text()).getElementById("notices");
  const filtered = await fetch(location.href);
  return { ok: filtered.ok, page: parsed(await filtered.text()), notices };
}

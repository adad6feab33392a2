// The list of the library, drawn anew by the server: what was chosen and where the keyboard was stay.

export const list = () => document.getElementById("guideline-list");

export const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

/** Ask the server for the list as it is now. */
export async function redraw() {
  const response = await fetch(location.href);
  if (response.ok) replaceList(parsed(await response.text()));
}

/** Put the list of another copy of this page, and how the index stands, in the place of what is shown. */
export function replaceList(page) {
  const old = list();
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  const chosen = [...old.querySelectorAll("input[name=versions]:checked")].map((box) => box.id);
  const fresh = page.getElementById(old.id);
  if (!fresh) return;
  old.replaceWith(fresh);
  const index = page.getElementById("index-state");
  if (index) document.getElementById("index-state")?.replaceWith(index);
  for (const id of chosen) {
    const box = document.getElementById(id);
    if (box) box.checked = true;
  }
  if (focused) document.getElementById(focused)?.focus();
  fresh.dispatchEvent(new CustomEvent("redrawn", { bubbles: true }));
}

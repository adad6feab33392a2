// What every page does: menus close on Escape and when the reader turns elsewhere, and a change of language or colours
// comes back to the address that is shown.

const openMenus = () => document.querySelectorAll("details.menu[open]");

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of openMenus()) {
    menu.open = false;
    if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
    event.stopImmediatePropagation(); // Escape means one thing at a time
  }
});

document.addEventListener("pointerdown", (event) => {
  for (const menu of openMenus()) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("focusin", (event) => {
  for (const menu of openMenus()) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("submit", ({ target }) => {
  const next = target.closest("details.menu") && target.elements.next;
  if (next) next.value = location.pathname + location.search; // the chat may have changed it
});

// Two versions: from change to change with the buttons, or with n and p.

const changes = [...document.querySelectorAll("[data-change]")];
let place = -1;

function go(step) {
  if (!changes.length) return;
  place = (place + step + changes.length) % changes.length;
  const heading = changes[place].querySelector("h3");
  heading.focus({ preventScroll: true });
  changes[place].scrollIntoView({ block: "start" });
}

document.getElementById("next-change")?.addEventListener("click", () => go(1));
document.getElementById("previous-change")?.addEventListener("click", () => go(place < 0 ? 0 : -1));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "n") go(1);
  if (event.key === "p") go(place < 0 ? 0 : -1);
});
document.addEventListener("focusin", ({ target }) => {
  const found = changes.indexOf(target.closest("[data-change]"));
  if (found >= 0) place = found;
});

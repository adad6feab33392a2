// Several versions at once: how many are chosen, and all of the page with one click.

const boxes = () => [...document.querySelectorAll("input[name=versions][form=batch]")];

function show() {
  const all = document.getElementById("batch-all");
  if (!all) return;
  const there = boxes();
  const chosen = there.filter((box) => box.checked).length;
  document.getElementById("batch").hidden = !there.length;
  document.getElementById("batch-all-label").hidden = there.length < 2;
  all.checked = there.length > 0 && chosen === there.length;
  all.indeterminate = chosen > 0 && chosen < there.length;
  const count = document.getElementById("batch-count");
  count.textContent = chosen ? count.dataset.count.replace("{n}", chosen) : "";
  for (const button of document.querySelectorAll("#batch button")) button.disabled = !chosen;
}

document.addEventListener("change", ({ target }) => {
  if (target.id === "batch-all") for (const box of boxes()) box.checked = target.checked;
  if (target.id === "batch-all" || target.name === "versions") show();
});
document.addEventListener("redrawn", show);
addEventListener("pageshow", show); // a browser that comes back may have kept the ticks
show();

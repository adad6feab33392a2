// How far the exports on the page are. When the state of one changes the server draws the list anew; what somebody is
// filling in below it stays.

const POLL_MS = 1500;

const box = document.getElementById("exports");

async function poll() {
  try {
    const response = await fetch(box.dataset.state, { headers: { Accept: "application/json" } });
    if (response.ok) await draw((await response.json()).exports);
  } catch {
    // the server is away for a moment; ask again
  }
  if (box.querySelector("progress")) setTimeout(poll, POLL_MS);
}

async function draw(exports) {
  const row = (id) => box.querySelector(`[data-export="${id}"]`);
  if (exports.some(({ id, state }) => row(id)?.dataset.is !== state)) {
    await redraw();
    return;
  }
  for (const { id, done, total } of exports) {
    const bar = row(id).querySelector("progress");
    if (!bar || !total) continue;
    bar.max = total;
    bar.value = done;
    row(id).querySelector("[data-count]").textContent = `${done} / ${total}`;
  }
}

async function redraw() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const table = page.querySelector("#exports table");
  if (!table) return;
  const before = [...box.querySelectorAll("[data-export]")].map(({ dataset }) => [dataset.export, dataset.is]);
  box.querySelector("table").replaceWith(table);
  const said = before.map(([id, is]) => box.querySelector(`[data-export="${id}"]:not([data-is="${is}"])`));
  box.querySelector("[data-said]").textContent = said
    .filter(Boolean)
    .map((one) => `${one.cells[0].textContent} ${one.querySelector(".badge").textContent}`)
    .join(", ");
}

setTimeout(poll, POLL_MS);

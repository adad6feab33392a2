// The trial of a model: what the worker says on the way, then the page anew.

const POLL_MS = 1500;

const box = document.getElementById("trial");
const list = box.querySelector("[data-lines]");

async function poll() {
  try {
    const response = await fetch(box.dataset.trial, { headers: { Accept: "application/json" } });
    if (response.ok) draw(await response.json());
  } catch {
    // the server is away for a moment; ask again
  }
  setTimeout(poll, POLL_MS);
}

function draw({ open, lines }) {
  if (!open) {
    location.reload();
    return;
  }
  for (const line of lines.slice(list.children.length)) {
    const item = document.createElement("li");
    item.textContent = line;
    list.append(item);
  }
}

setTimeout(poll, POLL_MS);

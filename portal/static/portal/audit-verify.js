// How far a verification is; when it ends, the page is drawn anew by the server.

const POLL_MS = 1000;

const box = document.getElementById("verifying");
const bar = box.querySelector("progress");

async function poll() {
  try {
    const response = await fetch(box.dataset.progress, { headers: { Accept: "application/json" } });
    if (response.ok) show(await response.json());
  } catch {
    // the server is away for a moment; ask again
  }
  setTimeout(poll, POLL_MS);
}

function show({ running, done, total }) {
  if (!running) {
    location.reload();
    return;
  }
  if (done === null || !total) return;
  bar.max = total;
  bar.value = done;
  box.querySelector("[data-count]").textContent = `${done} / ${total}`;
}

setTimeout(poll, POLL_MS);

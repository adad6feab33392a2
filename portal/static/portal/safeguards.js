// The test run of a draft: its progress, then the report.

const POLL_MS = 1000;

const box = document.getElementById("progress");

async function poll() {
  try {
    const response = await fetch(box.dataset.progress, { headers: { Accept: "application/json" } });
    if (response.ok) draw(await response.json());
  } catch {
    // the server is away for a moment; ask again
  }
  setTimeout(poll, POLL_MS);
}

function draw({ state, done, total }) {
  if (state !== "testing") {
    location.reload();
    return;
  }
  const bar = box.querySelector("progress");
  bar.max = total || 1;
  bar.value = done;
  box.querySelector("[data-counted]").textContent = `${done} / ${total}`;
}

setTimeout(poll, POLL_MS);

// The test bench: waits for the guideline service, then lets the server draw the page anew.

const POLL_MS = 1000;

const box = document.getElementById("bench-wait");
const departments = document.querySelectorAll('#trial-form input[name="departments"]');

async function poll() {
  try {
    const response = await fetch(box.dataset.state, { headers: { Accept: "application/json" } });
    if (response.ok && draw(await response.json())) {
      location.reload();
      return;
    }
  } catch {
    // the server is away for a moment; ask again
  }
  setTimeout(poll, POLL_MS);
}

/** Returns whether there is nothing left to wait for. */
function draw({ waiting, problem }) {
  const notice = box.querySelector("[data-problem]");
  if (notice.textContent !== problem) notice.textContent = problem;
  notice.hidden = !problem;
  const count = box.querySelector("[data-count]");
  if (count) {
    const bar = box.querySelector("progress");
    count.textContent = waiting;
    bar.max = Math.max(bar.max, waiting);
    bar.value = bar.max - waiting;
  }
  return waiting === 0;
}

if (box) setTimeout(poll, POLL_MS / 4);

for (const one of departments) {
  one.addEventListener("change", () => {
    if (one.checked) document.querySelector('#trial-form input[value="somebody"]').checked = true;
  });
}

// The page of guidelines: files dropped onto it, the progress of what is being read, and the switches.

const POLL_MS = 1500;

const zone = document.getElementById("drop-zone");
const input = document.getElementById("files");
const chosen = document.getElementById("chosen-files");
const submit = document.getElementById("upload-files");
const limit = Number(zone.dataset.limitMb);

// --- choosing files ---------------------------------------------------------------------------------------------------

for (const name of ["dragenter", "dragover"]) {
  zone.addEventListener(name, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    zone.dataset.over = "";
  });
}
for (const name of ["dragleave", "drop"]) {
  zone.addEventListener(name, (event) => {
    if (!zone.contains(event.relatedTarget)) delete zone.dataset.over;
  });
}
zone.addEventListener("drop", (event) => {
  event.preventDefault();
  if (!event.dataTransfer.files.length) return;
  input.files = event.dataTransfer.files;
  showChosen();
});
input.addEventListener("change", showChosen);
zone.addEventListener("submit", () => {
  submit.disabled = true;
  submit.textContent = zone.dataset.sending;
});
addEventListener("pageshow", showChosen); // a browser that comes back may have kept the files

function showChosen() {
  const files = [...input.files];
  const tooLarge = files.filter((file) => megabytes(file) > limit);
  chosen.replaceChildren(...files.map(fileItem));
  chosen.hidden = !files.length;
  submit.hidden = !files.length;
  submit.disabled = tooLarge.length > 0;
}

function fileItem(file) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  const size = document.createElement("span");
  name.textContent = file.name;
  const isTooLarge = megabytes(file) > limit;
  size.textContent = isTooLarge ? zone.dataset.tooLarge : sizeText(megabytes(file));
  size.className = isTooLarge ? "field__error" : "soft numeric";
  item.append(name, size);
  return item;
}

const megabytes = (file) => file.size / (1024 * 1024);

function sizeText(size) {
  const [unit, value] = size < 1 ? ["kilobyte", Math.ceil(size * 1024)] : ["megabyte", size];
  const options = { style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0 };
  return new Intl.NumberFormat(document.documentElement.lang, options).format(value);
}

// --- progress -----------------------------------------------------------------------------------------------------------

const isUnfinished = (version) => !["indexed", "failed"].includes(version.ingestion);

/** Ask until everything is read, then let the server draw the list anew. */
async function poll() {
  const list = document.getElementById("guideline-list");
  if (!list.querySelector("[data-version]")) return;
  try {
    const response = await fetch(list.dataset.progress, { headers: { Accept: "application/json" } });
    if (response.ok && drawProgress(list, (await response.json()).versions)) await redraw(list);
  } catch {
    // the server is away for a moment; ask again
  }
  setTimeout(poll, POLL_MS);
}

/** Returns whether a version has ended, so that its row has more to say than a bar. */
function drawProgress(list, versions) {
  let hasEnded = false;
  for (const version of versions) {
    const row = list.querySelector(`[data-version="${version.id}"]`);
    if (!row) continue;
    if (!isUnfinished(version)) {
      hasEnded = true;
      continue;
    }
    const bar = row.querySelector("progress");
    if (version.total) {
      bar.max = version.total;
      bar.value = version.done;
    }
    const counted = version.total ? ` ${version.done} / ${version.total}` : "";
    row.querySelector("[data-step]").textContent = (list.dataset[version.ingestion] ?? "") + counted;
  }
  return hasEnded;
}

async function redraw(list) {
  const response = await fetch(location.href);
  if (response.ok) replaceList(list, parsed(await response.text()));
}

const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

function replaceList(list, page) {
  const focused = list.contains(document.activeElement) ? document.activeElement.id : "";
  list.replaceWith(page.getElementById("guideline-list"));
  if (focused) document.getElementById(focused)?.focus();
}

poll();

// --- switching off and on, with a way back --------------------------------------------------------------------------------

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-switch]")) return;
  event.preventDefault();
  let response;
  try {
    response = await fetch(form.action, { method: "POST", body: new FormData(form) });
  } catch {
    response = { ok: false };
  }
  if (!response.ok) {
    form.submit(); // let the browser show what is wrong
    return;
  }
  const page = parsed(await response.text());
  const list = document.getElementById("guideline-list");
  const undo = document.createElement("button");
  undo.className = "button button--small";
  undo.textContent = list.dataset.undo;
  undo.setAttribute("form", form.id); // the same form again, which now stands for the opposite
  replaceList(list, page);
  const notices = document.getElementById("notices");
  notices.replaceChildren(...page.getElementById("notices").children);
  notices.lastElementChild?.append(undo);
});

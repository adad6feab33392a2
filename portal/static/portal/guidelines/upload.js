// Files dropped or chosen, whole folders too. Each is sent by itself, so that each says how far it is and why it was not
// taken; then its reading is followed until it ends.

import { redraw } from "./list.js";
import { stepText, watch } from "./progress.js";

const AT_ONCE = 2;

const zone = document.getElementById("drop-zone");
const input = document.getElementById("files");
const shown = document.getElementById("chosen-files");
const submit = document.getElementById("upload-files");
const leftOut = document.getElementById("left-out");
const limit = Number(zone.dataset.limitMb);
const endings = input.accept.split(",");

const queue = []; // entries in the order in which they were chosen: {file, item, state}
let isSending = 0;

// --- choosing ---------------------------------------------------------------------------------------------------------

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
zone.addEventListener("drop", async (event) => {
  event.preventDefault();
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) {
    add([...event.dataTransfer.files]);
    return;
  }
  const found = await Promise.all(entries.map(filesOf));
  addFolder(found.flat());
});
input.addEventListener("change", () => {
  add([...input.files]);
  input.value = ""; // the same file may be chosen again
});

const folder = document.createElement("input");
folder.type = "file";
folder.webkitdirectory = true;
const chooseFolder = document.getElementById("choose-folder");
chooseFolder.hidden = !("webkitdirectory" in folder);
chooseFolder.addEventListener("click", () => folder.click());
folder.addEventListener("change", () => {
  addFolder([...folder.files]);
  folder.value = "";
});

/** All files below an entry of a drop. */
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at a time
    if (!some.length) return found;
    found.push(...(await Promise.all(some.map(filesOf))).flat());
  }
}

/** Of a folder, only what Havre reads; how many others there are is said. */
function addFolder(files) {
  const readable = files.filter(({ name }) => !name.startsWith(".") && endings.some((end) => name.toLowerCase().endsWith(end)));
  add(readable);
  const others = files.filter(({ name }) => !name.startsWith(".")).length - readable.length;
  leftOut.textContent = zone.dataset.leftOut.replace("{n}", others);
  leftOut.hidden = others === 0;
}

function add(files) {
  leftOut.hidden = true;
  for (const file of files) {
    const entry = { file, item: itemOf(file), state: "chosen" };
    entry.remove = button(entry, zone.dataset.remove, () => {
      queue.splice(queue.indexOf(entry), 1);
      entry.item.remove();
      show();
    });
    queue.push(entry);
    shown.append(entry.item);
    if (megabytes(file) > limit) end(entry, zone.dataset.tooLarge, "refused");
  }
  show();
}

function itemOf(file) {
  const item = document.createElement("li");
  item.className = "upload-file";
  const name = document.createElement("span");
  name.textContent = file.name;
  const size = document.createElement("span");
  size.className = "soft numeric small";
  size.textContent = sizeText(megabytes(file));
  const said = document.createElement("p");
  said.className = "upload-file__said small";
  said.hidden = true;
  item.append(name, size, said);
  return item;
}

function button({ item }, text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "button button--small button--quiet";
  made.textContent = text;
  made.setAttribute("aria-label", `${text}: ${item.firstElementChild.textContent}`);
  made.addEventListener("click", act);
  item.children[1].after(made); // beside the size
  return made;
}

const megabytes = (file) => file.size / (1024 * 1024);

function sizeText(size) {
  const [unit, value] = size < 1 ? ["kilobyte", Math.ceil(size * 1024)] : ["megabyte", size];
  const options = { style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0 };
  return new Intl.NumberFormat(document.documentElement.lang, options).format(value);
}

// --- sending ----------------------------------------------------------------------------------------------------------

const waiting = () => queue.filter((entry) => entry.state === "chosen");

function show() {
  shown.hidden = !queue.length;
  submit.hidden = !waiting().length;
  input.required = false; // what is chosen stands in the list
}

zone.addEventListener("submit", (event) => {
  event.preventDefault();
  for (const entry of waiting()) {
    entry.state = "queued";
    entry.remove.remove();
    say(entry, zone.dataset.waiting);
  }
  show();
  while (isSending < AT_ONCE && sendNext());
});

addEventListener("beforeunload", (event) => {
  if (isSending) event.preventDefault();
});

function sendNext() {
  const entry = queue.find((one) => one.state === "queued");
  if (!entry) return false;
  entry.state = "sending";
  isSending += 1;
  send(entry);
  return true;
}

function send(entry) {
  const request = new XMLHttpRequest(); // fetch does not tell how far an upload is
  const form = new FormData(zone);
  form.delete("files");
  form.append("files", entry.file, entry.file.name);
  const bar = barOf(entry);
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    bar.max = total;
    bar.value = loaded;
    say(entry, loaded < total ? `${zone.dataset.sending} ${Math.floor((loaded / total) * 100)} %` : zone.dataset.checking);
  });
  request.addEventListener("load", () => taken(entry, request));
  request.addEventListener("error", () => stopped(entry));
  request.addEventListener("loadend", () => {
    isSending -= 1;
    if (!sendNext() && !isSending) redraw();
  });
  request.open("POST", zone.action);
  request.setRequestHeader("Accept", "application/json");
  request.send(form);
}

function taken(entry, request) {
  let answer;
  try {
    answer = JSON.parse(request.responseText).files[0];
  } catch {
    stopped(entry); // an error page, or signed out meanwhile
    return;
  }
  if (answer.version) {
    entry.state = "reading";
    link(entry, answer.url, answer.title);
    say(entry, stepText({ ingestion: "pending" }));
    watch(answer.version, (version) => follow(entry, version));
  } else {
    end(entry, answer.error, "refused");
    if (answer.known) link(entry, answer.known, zone.dataset.there);
  }
}

function stopped(entry) {
  end(entry, zone.dataset.stopped, "refused");
  const retry = button(entry, zone.dataset.again, () => {
    retry.remove();
    entry.state = "queued";
    say(entry, zone.dataset.waiting);
    if (isSending < AT_ONCE) sendNext();
  });
}

function follow(entry, version) {
  if (version.ingestion === "indexed") end(entry, zone.dataset.read, "read");
  else if (version.ingestion === "failed") end(entry, version.error, "refused");
  else {
    const bar = barOf(entry);
    if (version.total) {
      bar.max = version.total;
      bar.value = version.done;
    } else bar.removeAttribute("value");
    say(entry, stepText(version) + (version.left ? ` · ${version.left}` : ""));
  }
}

// --- one file's line --------------------------------------------------------------------------------------------------

function barOf({ item }) {
  const there = item.querySelector("progress");
  if (there) return there;
  const bar = document.createElement("progress");
  bar.setAttribute("aria-label", item.firstElementChild.textContent);
  item.append(bar);
  return bar;
}

function say({ item }, text, isBad = false) {
  const said = item.querySelector(".upload-file__said");
  said.hidden = false;
  said.textContent = text;
  said.classList.toggle("field__error", isBad);
}

function end(entry, text, state) {
  entry.state = state;
  entry.item.querySelector("progress")?.remove();
  say(entry, text, state === "refused");
}

function link({ item }, address, text) {
  const made = document.createElement("a");
  made.href = address;
  made.textContent = text;
  item.children[1].replaceChildren(made);
}

show();

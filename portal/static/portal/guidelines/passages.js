// Passages beside their page: the one under the pointer, or that the keyboard is on, is marked on the picture.

const DELAY_MS = 120; // a pointer on its way across the list asks for nothing

const sheet = document.getElementById("sheet");
const picture = sheet.querySelector("img");
const caption = sheet.querySelector("figcaption");
const hint = caption.textContent;
const passages = [...document.querySelectorAll("[data-picture]")];
let timer;

function mark(passage) {
  clearTimeout(timer);
  if (passage.hasAttribute("data-shown")) return;
  timer = setTimeout(() => {
    for (const one of passages) one.toggleAttribute("data-shown", one === passage);
    sheet.toggleAttribute("data-loading", true);
    picture.src = passage.dataset.picture;
  }, DELAY_MS);
}

picture.addEventListener("load", () => {
  sheet.removeAttribute("data-loading");
  caption.textContent = hint;
  const from = passages.find((one) => one.hasAttribute("data-shown"))?.dataset.from;
  if (from) sheet.scrollTop = Number(from) * picture.height - sheet.clientHeight / 4; // on a phone the page is cut off
});
picture.addEventListener("error", () => {
  sheet.removeAttribute("data-loading");
  caption.textContent = sheet.dataset.failed;
});
for (const passage of passages) {
  passage.addEventListener("pointerenter", () => mark(passage));
  passage.addEventListener("focusin", () => mark(passage));
  passage.addEventListener("click", () => mark(passage)); // a finger
}

const asked = location.hash && document.getElementById(location.hash.slice(1));
if (asked && asked.dataset.picture) mark(asked);

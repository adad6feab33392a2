// The page on which a conversation begins: takes the first question along to a conversation with a new id.

import { Composer } from "./composer.js";
import { Draft } from "./draft.js";
import { newUuid } from "./uuid.js";

const UNUSED = "00000000-0000-0000-0000-000000000000";

const form = document.querySelector("[data-part=composer]");
const composer = new Composer(form);
const draft = new Draft("new");
composer.text = draft.read().text ?? "";
composer.addEventListener("edit", () => draft.write({ text: composer.text }));
composer.addEventListener("send", () => begin(composer.text));

for (const example of document.querySelectorAll("[data-example]")) {
  example.addEventListener("click", () => begin(example.textContent.trim()));
}

function begin(text) {
  const conversation = newUuid();
  new Draft(conversation).write({ text, effort: composer.effort, send: true });
  draft.clear();
  location.assign(form.dataset.address.replace(UNUSED, conversation));
}

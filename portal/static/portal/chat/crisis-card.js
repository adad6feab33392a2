// The card with the numbers of people who help.

import { clone, fill, part } from "./elements.js";
import { languageNames, say } from "./strings.js";

/**
 * @param {{level: string, message: string, hotlines: object[]}} crisis as the server sends it
 * @param {boolean} isNews whether it has just happened, so that a screen reader says it at once
 */
export function crisisCard(crisis, isNews) {
  const card = clone("crisis-template");
  card.dataset.level = crisis.level;
  if (isNews) card.setAttribute("role", "alert");
  const isEmergency = crisis.level === "third_party";
  const lines = crisis.message.split("\n").filter((line) => line.trim());
  fill(card, "title", say(isEmergency ? "crisis.third_party" : "crisis.first_person"));
  // A word to the person comes first, where it is about them; then the numbers, on the smallest screen; then the rest.
  part(card, "message").replaceChildren(...lines.splice(0, isEmergency ? 0 : 1).map(paragraph));
  part(card, "more").replaceChildren(...lines.map(paragraph));
  part(card, "hotlines").append(...crisis.hotlines.map(hotlineItem));
  part(card, "icon-care").toggleAttribute("hidden", isEmergency);
  part(card, "icon-emergency").toggleAttribute("hidden", !isEmergency);
  return card;
}

function hotlineItem(hotline) {
  const item = clone("hotline-template");
  item.dataset.audience = hotline.audience ?? "";
  fill(item, "name", hotline.name);
  fill(item, "facts", [hotline.hours, languageNames(hotline.languages ?? [])].filter(Boolean).join(" · "));
  link(item, "phone", "tel", hotline.phone);
  link(item, "sms", "sms", hotline.sms);
  const web = part(item, "web");
  web.hidden = !/^https?:\/\//.test(hotline.url ?? "");
  if (!web.hidden) {
    web.href = hotline.url;
    web.textContent = hotline.url.replace(/^https?:\/\/(www\.)?/, "").replace(/\/$/, "");
  }
  return item;
}

function link(item, name, scheme, number) {
  const anchor = part(item, name);
  anchor.hidden = !number;
  if (!number) return;
  part(anchor, "number").textContent = number;
  anchor.href = `${scheme}:${number.replace(/\(.*?\)/g, "").replace(/[^\d+]/g, "")}`;
}

function paragraph(text) {
  const element = document.createElement("p");
  element.textContent = text;
  return element;
}

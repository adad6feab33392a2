// Small ways of making elements out of templates.

/** A copy of the only element in <template id="…">. */
export function clone(templateId) {
  return document.getElementById(templateId).content.firstElementChild.cloneNode(true);
}

/** The element marked data-part="name" inside `root`. */
export function part(root, name) {
  return root.querySelector(`[data-part="${name}"]`);
}

/** Set the text of a part, and hide the part when there is none. */
export function fill(root, name, text) {
  const element = part(root, name);
  element.textContent = text ?? "";
  element.hidden = !text;
}

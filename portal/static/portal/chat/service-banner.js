// Says which part of the installation is down, and that help can be reached all the same.

import { fill } from "./elements.js";
import { say } from "./strings.js";

const EVERY_MS = 15_000;
const PARTS = ["valkey", "knowledge", "inference"]; // without the last, the guidelines are quoted

/** Show `parts` ({valkey, inference, knowledge, model_installed}: booleans) in `banner`, and keep asking `url` for them. */
export function watchServices(banner, parts, url) {
  show(banner, parts);
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const response = await fetch(url, { headers: { Accept: "application/json" } });
      if (response.ok) show(banner, await response.json());
    } catch {
      // not reachable at all: the socket says so already
    }
  }, EVERY_MS);
}

function show(banner, parts) {
  const missing = PARTS.find((name) => parts[name] === false);
  const isAsInstalled = missing === "inference" && parts.model_installed === false;
  const text = missing ? say(isAsInstalled ? "service.no-model" : `service.${missing}`) : "";
  fill(banner, "text", text);
  banner.classList.toggle("notice--caution", !isAsInstalled);
  banner.hidden = !missing;
}

// One websocket that comes back by itself.

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
const TOO_MANY_RETRY_MS = 15_000;
const SILENCE_MS = 10_000; // after a probe, no answer for so long means that the line is dead
const PROBE_MS = 20_000;

/** Close codes after which trying again is pointless until a person does something. */
export const GIVEN_UP = { 4401: "signed-out", 4403: "forbidden", 4404: "not-found" };
const IDLE = 4408;
const TOO_MANY = 4429;

/**
 * @param {number} attempt how many have failed before, from 0
 * @param {number} code the close code of the last one
 * @param {number} luck 0 to 1; keeps a hundred browsers from coming back in the same moment
 * @returns {number} milliseconds to wait
 */
export function retryDelay(attempt, code, luck = Math.random()) {
  const base = code === TOO_MANY ? TOO_MANY_RETRY_MS : FIRST_RETRY_MS;
  return Math.min(LONGEST_RETRY_MS, base * 2 ** Math.min(attempt, 16)) * (0.5 + luck / 2);
}

/**
 * Emits "open", "frame" (detail: the parsed frame), "lost" (it will come back) and "ended" (detail: a value of
 * GIVEN_UP). While `busy`, it asks now and then whether the server still hears it.
 */
export class ConversationSocket extends EventTarget {
  #path;
  #socket = null;
  #attempt = 0;
  #retry = 0;
  #silence = 0;
  #probing = 0;
  #asleep = false;
  #ended = false;

  constructor(path) {
    super();
    this.#path = path;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connect, and again whenever the network or the person comes back. */
  start() {
    addEventListener("online", () => this.wake());
    addEventListener("offline", () => this.#socket?.close());
    for (const sign of ["keydown", "pointerdown", "focus"]) addEventListener(sign, () => this.#asleep && this.wake());
    document.addEventListener("visibilitychange", () => !document.hidden && this.wake());
    this.#connect();
  }

  /** Try now instead of later. */
  wake() {
    if (this.#ended || this.#socket) return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  /** @returns {boolean} whether the frame was handed to an open socket */
  send(frame) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(frame));
    this.#probe();
    return true;
  }

  set busy(busy) {
    clearInterval(this.#probing);
    if (busy) this.#probing = setInterval(() => this.#probe(), PROBE_MS);
  }

  #connect() {
    this.#asleep = false;
    const address = new URL(this.#path, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.dispatchEvent(new Event("open"));
      this.#probe();
    });
    socket.addEventListener("message", (message) => {
      this.#attempt = 0; // only now: a server in trouble may accept and close at once
      clearTimeout(this.#silence);
      this.dispatchEvent(new CustomEvent("frame", { detail: JSON.parse(message.data) }));
    });
    socket.addEventListener("close", (close) => this.#lost(socket, close.code));
  }

  #lost(socket, code) {
    if (socket !== this.#socket) return; // one that was given up for dead reports its end late
    this.#socket = null;
    clearTimeout(this.#silence);
    if (code in GIVEN_UP) {
      this.#ended = true;
      this.dispatchEvent(new CustomEvent("ended", { detail: GIVEN_UP[code] }));
      return;
    }
    this.dispatchEvent(new CustomEvent("lost", { detail: { idle: code === IDLE, tooMany: code === TOO_MANY } }));
    this.#asleep = code === IDLE;
    if (!this.#asleep) this.#retry = setTimeout(() => this.wake(), retryDelay(this.#attempt++, code));
  }

  #probe() {
    if (!this.isOpen) return;
    const socket = this.#socket;
    socket.send('{"type":"ping"}');
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      socket.close();
      this.#lost(socket, 1006);
    }, SILENCE_MS);
  }
}

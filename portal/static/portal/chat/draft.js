// What is being written, kept until the server has accepted it. In sessionStorage: it outlives a reload, and goes with
// the tab. localStorage would leave a person's words on a shared computer.

const memory = new Map(); // where the browser refuses storage, the text at least survives on the page

/**
 * One conversation's unsent text: {text, effort, sent}. `sent` is {clientRef, question} of a question that went out and
 * is not yet known to have arrived.
 */
export class Draft {
  #key;

  constructor(conversation) {
    this.#key = `havre.draft.${conversation}`;
  }

  read() {
    try {
      return JSON.parse(sessionStorage.getItem(this.#key)) ?? memory.get(this.#key) ?? {};
    } catch {
      return memory.get(this.#key) ?? {};
    }
  }

  write(draft) {
    if (!draft.text && !draft.sent) {
      this.clear();
      return;
    }
    memory.set(this.#key, draft);
    try {
      sessionStorage.setItem(this.#key, JSON.stringify(draft));
    } catch {
      // storage is full or switched off: memory has it
    }
  }

  clear() {
    memory.delete(this.#key);
    try {
      sessionStorage.removeItem(this.#key);
    } catch {
      // nothing was kept
    }
  }
}

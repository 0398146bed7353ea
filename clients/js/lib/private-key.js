const custom = [Symbol.for('nodejs.util.inspect.custom'), Symbol.for('Deno.customInspect')];

/** A private key: prints and serializes as its masked display, and only `reveal()` gives the text. */
export class PrivateKey {
  #text;
  #display;

  constructor(text, display) {
    this.#text = text;
    this.#display = display;
  }

  reveal() {
    return this.#text;
  }

  toString() {
    return this.#display;
  }

  toJSON() {
    return this.#display;
  }
}

for (const inspect of custom) {
  Object.defineProperty(PrivateKey.prototype, inspect, {
    value() {
      return `PrivateKey(${this})`;
    },
  });
}

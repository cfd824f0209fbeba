// A picture in, a picture out.

import { ask } from "./api.js";
import { sharpen } from "./results.js";

/** Shows the place for a picture, and the picture before and after. `onFile` is told of a new one. */
export class Translation {
  constructor(root, onFile) {
    this.root = root;
    this.file = null;
    this.made = null;
    this.before = root.querySelector("#before");
    this.after = root.querySelector("#after");
    for (const figure of [this.before, this.after]) sharpen(figure.querySelector("img"));
    const drop = root.querySelector("#drop");
    const input = root.querySelector("#picture");
    input.addEventListener("change", () => input.files.length && this.#take(input.files[0], onFile));
    drop.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
    for (const name of ["dragleave", "drop"]) {
      drop.addEventListener(name, () => drop.classList.remove("over"));
    }
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) this.#take(event.dataTransfer.files[0], onFile);
    });
  }

  #take(file, onFile) {
    this.file = file;
    this.made = null;
    this.after.hidden = true;
    this.#show(this.before, file);
    onFile();
  }

  #show(figure, blob) {
    const image = figure.querySelector("img");
    if (image.src) URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(blob);
    figure.hidden = false;
  }

  /** Return the endpoint's path for a model and a seed. */
  static path(model, seed) {
    return `v1/translate?${new URLSearchParams({ model, seed: String(BigInt(seed)) })}`;
  }

  /** Forget the pictures of another model. */
  clear() {
    this.after.hidden = true;
    this.made = null;
  }

  /** Translate the picture and show it. */
  async run(model, seed, signal) {
    const answer = await ask(Translation.path(model, seed), { method: "POST", body: this.file, signal });
    this.made = await answer.blob();
    this.#show(this.after, this.made);
  }
}

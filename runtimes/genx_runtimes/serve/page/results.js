// The samples on the page: a tile each, two of which can be picked.

import { make } from "./inputs.js";
import { findRange, isSmall, makeTable, plotSequence, plotTensor, plotWave } from "./plots.js";

const PICTURES = new Set(["image", "voxels", "tensor"]);

export function toBytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Show images as they are where they are large, each pixel as a square where they are small. */
export function sharpen(image) {
  const mark = () => image.classList.toggle("pixels", image.naturalWidth <= 128);
  image.addEventListener("load", mark);
  return image;
}

/** Return how many columns show `n` squares well in a box. */
function chooseColumns(n, width, height, least) {
  const most = Math.max(1, Math.min(n, Math.floor(width / least)));
  let [best, score] = [1, Infinity];
  for (let columns = 1; columns <= most; columns += 1) {
    const rows = Math.ceil(n / columns);
    const empty = rows * columns - n;
    const off = Math.abs(Math.log(columns / rows / (width / height))) + (empty ? 0.3 + (4 * empty) / n : 0);
    if (off < score) [best, score] = [columns, off];
  }
  return best;
}

/**
 * Shows samples in `root`. `onPick` is told the picked indices, two at most.
 */
export class Results {
  constructor(root, onPick) {
    this.root = root;
    this.picks = [];
    this.onPick = onPick;
    this.shown = "";
    root.addEventListener("keydown", (event) => this.#move(event));
    root.addEventListener("click", (event) => {
      const button = event.target.closest("button.pick");
      if (button) this.#pick(Number(button.dataset.index));
    });
    new ResizeObserver(() => this.#arrange()).observe(root.parentElement);
  }

  /** Show samples of a contract; `pickable` ones are named by their index. */
  show(contract, items, { seed, pickable, prompt = "" }) {
    const { kind, columns } = contract.output;
    this.contract = contract;
    const shape = JSON.stringify([contract.name, items.length, pickable]);
    if (kind === "image" && shape === this.shown) {
      this.root.querySelectorAll("img").forEach((image, i) => {
        image.src = `data:image/png;base64,${items[i]}`;
        image.alt = `Sample ${i} of seed ${seed}`;
      });
      return;
    }
    this.shown = shape;
    for (const player of this.root.querySelectorAll("audio")) URL.revokeObjectURL(player.src);
    this.root.dataset.kind = kind;
    const names = items.map((_, i) => (pickable ? this.#makePick(i) : String(i)));
    if (kind === "table" || (kind === "tensor" && isSmall(items[0]))) {
      this.root.replaceChildren(make("div", { class: "scroll" }, makeTable(items, columns, names)));
    } else {
      const range = kind === "sequence" ? findRange(items) : null;
      const tiles = items.map((item, i) =>
        make(
          "li", { class: "tile" },
          this.#draw(kind, item, { label: `Sample ${i} of seed ${seed}`, range, prompt }),
          ...(pickable ? [names[i]] : []),
        ),
      );
      const named = kind === "sequence" ? columns : [];
      const legend = named.map((name, i) => make("span", { class: `c${i % 8}` }, name));
      this.root.replaceChildren(make("ul", { class: "tiles" }, ...tiles), make("p", { class: "legend" }, ...legend));
    }
    this.#markPicks();
    this.#arrange();
  }

  /** Forget the picks. */
  clear() {
    this.picks = [];
    this.#markPicks();
    this.onPick(this.picks);
  }

  /** Return what tile `i` holds, to be shown elsewhere as well. */
  copy(i) {
    const content = this.root.querySelectorAll(".tile")[i]?.firstElementChild;
    if (!content || content.matches(".sound")) return null;
    if (content.matches("canvas")) {
      const copy = content.cloneNode();
      copy.getContext("2d").drawImage(content, 0, 0);
      return copy;
    }
    return content.cloneNode(true);
  }

  #draw(kind, item, { label, range, prompt }) {
    if (kind === "image") {
      return sharpen(make("img", { alt: label, src: `data:image/png;base64,${item}` }));
    }
    if (kind === "text") {
      return make("p", { class: "text" }, make("mark", {}, item.slice(0, prompt.length)), item.slice(prompt.length));
    }
    if (kind === "audio") {
      const bytes = toBytes(item);
      const src = URL.createObjectURL(new Blob([bytes], { type: "audio/wav" }));
      const player = make("audio", { controls: true, src, "aria-label": label });
      return make("div", { class: "sound" }, plotWave(bytes, label), player);
    }
    if (kind === "sequence") return plotSequence(item, range, label);
    return plotTensor(item, kind === "voxels", label);
  }

  #makePick(i) {
    return make(
      "button",
      { type: "button", class: "pick", "data-index": i, "aria-pressed": "false", tabindex: i ? -1 : 0, "aria-label": `Sample ${i}` },
      String(i),
    );
  }

  #pick(index) {
    const others = this.picks.filter((pick) => pick !== index);
    this.picks = others.length < this.picks.length ? others : [...others, index].slice(-2);
    this.#markPicks();
    this.onPick(this.picks);
  }

  #markPicks() {
    for (const button of this.root.querySelectorAll("button.pick")) {
      button.setAttribute("aria-pressed", this.picks.includes(Number(button.dataset.index)));
    }
  }

  /** Arrow keys go from tile to tile, Escape forgets the picks. */
  #move(event) {
    const buttons = [...this.root.querySelectorAll("button.pick")];
    const at = buttons.indexOf(document.activeElement);
    if (event.key === "Escape") this.clear();
    if (at < 0) return;
    const columns = this.root.querySelector(".tiles") ? this.columns : 1;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    const next = buttons[at + by];
    if (!next) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  /** Fit the tiles into the window. */
  #arrange() {
    const list = this.root.querySelector(".tiles");
    if (!list) return;
    const narrow = innerWidth < 900;
    const width = this.root.parentElement.clientWidth;
    const height = innerHeight * (narrow ? 0.42 : 0.72);
    const n = list.children.length;
    if (PICTURES.has(this.contract.output.kind)) {
      this.columns = chooseColumns(n, width, height, narrow ? 52 : 72);
      const rows = Math.ceil(n / this.columns);
      list.style.maxWidth = `${Math.max(200, Math.min(width, (height / rows) * this.columns))}px`;
    } else {
      const least = this.contract.output.kind === "text" ? 420 : 240;
      const most = Math.max(1, Math.min(n, Math.floor(width / least)));
      this.columns = most > 2 && n % most && n % (most - 1) === 0 ? most - 1 : most;
      list.style.maxWidth = "none";
    }
    list.style.setProperty("--columns", this.columns);
  }
}

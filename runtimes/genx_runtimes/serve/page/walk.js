// A walk from one sample to another: its title, and a slider along its frames.

const at = (id) => document.getElementById(id);

/** Shows a walk's frames one at a time; `results` holds them as tiles. */
export class Walk {
  constructor(results) {
    this.results = results;
    this.ends = null;
    at("place").addEventListener("input", () => this.showFrame());
  }

  /** Walk from one index to another; null ends the walk. */
  set(ends) {
    this.ends = ends;
    at("place").value = 0;
  }

  /** Show where it goes; `classes` says whether its samples have any. */
  showTitle(classes) {
    at("walk").hidden = this.ends === null;
    at("walk-note").hidden = !classes;
    if (this.ends) at("walk-title").textContent = `From sample ${this.ends[0]} to sample ${this.ends[1]}`;
  }

  /** Show the frame that the slider points at. */
  showFrame() {
    if (!this.ends) return;
    const tiles = document.querySelectorAll("#samples .tile");
    const place = at("place");
    place.max = Math.max(tiles.length - 1, 0);
    tiles.forEach((tile, i) => tile.classList.toggle("current", i === Number(place.value)));
    at("stage").replaceChildren(...[this.results.copy(Number(place.value))].filter(Boolean));
  }
}

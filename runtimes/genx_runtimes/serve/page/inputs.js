// Form controls. Each has a key, its element, and a value: null is what the model does by itself.

let made = 0;

/** Return an element with attributes (`class`, `type` ...), properties and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const nextId = () => `control-${(made += 1)}`;

function pickStep(low, high) {
  return 10 ** Math.floor(Math.log10((high - low) / 100));
}

/**
 * A slider with a box for the exact number. `unset` says what happens without a value; `start` is
 * where the thumb lies then.
 */
export function makeSlider({ key, label, low, high, step, start, unset }) {
  const id = nextId();
  const size = step ?? pickStep(low, high);
  const number = make("input", { type: "number", id, min: low, max: high, step: size, placeholder: unset });
  const range = make("input", {
    type: "range", min: low, max: high, step: size, "aria-label": `${label}, slider`,
  });
  const reset = make("button", { type: "button", class: "reset", "aria-label": `Reset ${label} to ${unset}` }, "×");
  const element = make(
    "div", { class: "slider", "data-key": key },
    make("label", { for: id }, label), number, reset, range,
  );
  const control = {
    key, element,
    get value() { return number.value === "" ? null : Number(number.value); },
    set value(value) {
      number.value = value ?? "";
      range.value = value ?? start ?? (low + high) / 2;
      mark();
    },
  };
  const mark = () => {
    reset.hidden = number.value === "";
    element.classList.toggle("unset", number.value === "");
  };
  range.addEventListener("input", () => { number.value = range.value; mark(); });
  number.addEventListener("input", () => {
    range.value = number.value === "" ? start ?? (low + high) / 2 : number.value;
    mark();
  });
  reset.addEventListener("click", () => {
    control.value = null;
    number.focus();
    for (const name of ["input", "change"]) element.dispatchEvent(new Event(name, { bubbles: true }));
  });
  control.value = null;
  return control;
}

/** A box for a whole number. */
export function makeNumber({ key, label, low, unset }) {
  const id = nextId();
  const input = make("input", { type: "number", id, min: low, step: 1, placeholder: unset });
  return {
    key,
    element: make("div", { class: "line", "data-key": key }, make("label", { for: id }, label), input),
    get value() { return input.value === "" ? null : Number(input.value); },
    set value(value) { input.value = value ?? ""; },
  };
}

/** Buttons of which one is pressed, or a list where there are many; `choices` are [value, text]. */
export function makeChoice({ key, label, choices, unset }) {
  const all = [["", unset], ...choices];
  if (choices.length > 26) return makeList({ key, label, all });
  const name = nextId();
  const inputs = all.map(([value]) => make("input", { type: "radio", name, value }));
  const labels = all.map(([, text], i) => make("label", {}, inputs[i], make("span", {}, text)));
  const control = {
    key,
    element: make(
      "fieldset", { class: "choice", "data-key": key },
      make("legend", {}, label), make("div", { class: "pills" }, ...labels),
    ),
    get value() { return inputs.find((input) => input.checked)?.value || null; },
    set value(value) {
      for (const input of inputs) input.checked = input.value === (value ?? "");
    },
  };
  control.value = null;
  return control;
}

export function makeList({ key, label, all }) {
  const id = nextId();
  const options = all.map(([value, text]) => make("option", { value }, text));
  const select = make("select", { id }, ...options);
  return {
    key,
    element: make("div", { class: "line", "data-key": key }, make("label", { for: id }, label), select),
    get value() { return select.value || null; },
    set value(value) { select.value = value ?? ""; },
  };
}

/** A box to tick; its value is "off" where it is not, null where it is. */
export function makeSwitch({ key, label }) {
  const input = make("input", { type: "checkbox", checked: true });
  return {
    key,
    element: make("label", { class: "switch", "data-key": key }, input, make("span", {}, label)),
    get value() { return input.checked ? null : "off"; },
    set value(value) { input.checked = value !== "off"; },
  };
}

/** A box for a text of several lines. */
export function makeText({ key, label, unset }) {
  const id = nextId();
  const area = make("textarea", { id, rows: 3, placeholder: unset, spellcheck: "false" });
  return {
    key,
    element: make("p", { class: "field", "data-key": key }, make("label", { for: id }, label), area),
    get value() { return area.value || null; },
    set value(value) { area.value = value ?? ""; },
  };
}

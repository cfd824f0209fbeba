// The page: a model's contract becomes controls, they become requests, the answers become tiles.

import { ApiError, askJson, keepKey, post, readEvents } from "./api.js";
import { canWalk, chooseCount, isLoop, isStreamed, makeControls, makeRequest, toBody } from "./controls.js";
import { clearTrips, hideError, hideStep, showError, showStatus, showStep, showTrip } from "./display.js";
import { make } from "./inputs.js";
import { readLink, toCommand, writeLink } from "./link.js";
import { Results } from "./results.js";
import { Translation } from "./translation.js";
import { Walk } from "./walk.js";

const FRAMES = 12; // of a walk, at least
const at = (id) => document.getElementById(id);
const results = new Results(at("samples"), showPicks);
const walk = new Walk(results);
const translation = new Translation(at("translation"), () => run());
let opening = "";
let contract = null;
let controls = [];
let running = null;
let again = false;

// The model

async function start() {
  try {
    const { data } = await askJson("v1/models");
    hideError();
    at("model").replaceChildren(...data.map(({ id }) => make("option", { value: id }, id)));
    at("chooser").hidden = data.length < 2;
    await open(readLink().get("model") ?? data[0].id);
  } catch (err) {
    if (!contract) at("name").textContent = err.status === 401 ? "A key is needed" : "No model";
    showError(err);
  }
}

async function open(name) {
  running?.abort();
  opening = name;
  const found = await askJson(`v1/contracts/${encodeURIComponent(name)}`);
  if (opening !== name) return;
  contract = found;
  at("model").value = name;
  at("name").textContent = name;
  document.title = `${name} · genx`;
  at("about").textContent = contract.description;
  at("about").hidden = !contract.description;
  document.body.dataset.kind = contract.output.kind;
  build();
  clearTrips();
  restore();
  await run();
}

const translates = () => contract.sampler.kind === "translate";

function build() {
  at("controls").hidden = false;
  const groups = makeControls(contract);
  controls = groups.flatMap(([, group]) => group).filter(({ key }) => key !== null);
  const [[, [prompt]], ...fields] = groups;
  at("prompt-place").replaceChildren(...(prompt ? [prompt.element] : []));
  at("fields").replaceChildren(
    ...fields
      .filter(([, group]) => group.length && !translates())
      .map(([title, group]) => make("section", {}, make("h2", {}, title), ...group.map(({ element }) => element))),
  );
  at("n").max = contract.limits.n;
  at("n-field").hidden = translates();
  at("samples").hidden = translates();
  at("translation").hidden = !translates();
  at("seed-field").hidden = contract.priors.length === 0 && translates();
  at("generate").textContent = translates() ? "Translate" : "Generate";
  at("samples").replaceChildren();
  results.shown = "";
  translation.clear();
  const formats = translates() ? ["png"] : contract.formats;
  const extra = contract.output.kind === "text" ? ["txt"] : [];
  at("downloads").replaceChildren(
    ...[...extra, ...formats].map((form) => {
      const button = make("button", { type: "button", "data-form": form, "aria-label": `Download ${form.toUpperCase()}` }, form.toUpperCase());
      button.addEventListener("click", () => download(form).catch(showError));
      return button;
    }),
  );
}

// What is asked for: the form, and the address of the page

function restore() {
  const link = readLink();
  const same = !link.has("model") || link.get("model") === contract.name;
  const given = same ? link : new Map();
  at("seed").value = given.get("seed") ?? at("seed").value;
  at("n").value = given.get("n") ?? chooseCount(contract);
  for (const control of controls) control.value = given.get(control.key) ?? null;
  walk.set(given.has("walk") ? given.get("walk").split(",").map(Number) : null);
  results.picks = walk.ends ?? [];
}

function readValues() {
  return Object.fromEntries(controls.map((control) => [control.key, control.value]));
}

function readAsked() {
  const seed = at("seed").value.trim();
  if (!/^\d{1,20}$/.test(seed)) throw new ApiError(`The seed is “${seed}”, expected 0 to 2^64 - 1.`, 400);
  const values = readValues();
  const wanted = Number(at("n").value);
  const n = walk.ends ? Math.max(wanted, FRAMES) : wanted;
  return { seed, values, n, request: makeRequest(contract, values, { n, walk: walk.ends }) };
}

function remember({ seed, values, request }) {
  const n = translates() ? null : at("n").value;
  writeLink({ model: contract.name, seed, n, ...values, walk: walk.ends && walk.ends.join(",") });
  at("request").textContent = translates()
    ? toCommand(Translation.path(contract.name, seed), null, "png")
    : toCommand("v1/sample", toBody(request, seed), contract.formats[0]);
}

// Asking

/** Ask for what the form says; `soon` lets a request that is on its way end before. */
async function run({ soon = false } = {}) {
  if (running && soon) {
    again = true;
    return;
  }
  running?.abort();
  const mine = new AbortController();
  running = mine;
  again = false;
  at("results").setAttribute("aria-busy", "true");
  try {
    const asked = readAsked();
    remember(asked);
    walk.showTitle(contract.priors.some(({ kind }) => kind === "categorical"));
    showPicks(results.picks);
    const began = performance.now();
    const made = await (translates() ? translate(asked, mine.signal) : sample(asked, mine.signal));
    if (running !== mine) return;
    hideError();
    if (made) showTrip(performance.now() - began);
    showStatus(made || "No picture yet.");
    at("tools").hidden = !made;
  } catch (err) {
    if (running === mine && err.name !== "AbortError") showError(err);
  } finally {
    if (running === mine) {
      running = null;
      hideStep();
      at("results").removeAttribute("aria-busy");
      if (again) run({ soon: true });
    }
  }
}

async function translate({ seed }, signal) {
  if (!translation.file) return "";
  showStatus("Translating…");
  await translation.run(contract.name, seed, signal);
  return "The picture is translated.";
}

async function sample({ seed, values, n, request }, signal) {
  const view = { seed, pickable: canWalk(contract) && !walk.ends, prompt: values.prompt ?? "" };
  const show = (items) => {
    results.show(contract, items, view);
    walk.showFrame();
  };
  if (isLoop(contract)) showStatus("Sampling…");
  if (!isStreamed(contract, values, n)) {
    const answer = await post("v1/sample", toBody({ ...request, format: "json" }, seed), signal);
    show((await answer.json()).samples);
  } else {
    const answer = await post("v1/sample", toBody({ ...request, stream: true }, seed), signal);
    for await (const [event, data] of readEvents(answer)) {
      if (event !== "step" || signal.aborted) continue;
      show(data.samples);
      showStep(data.step, request.steps ?? contract.sampler.steps);
    }
  }
  const noun = walk.ends ? "frame" : "sample";
  return `${n} ${noun}${n === 1 ? "" : "s"} of seed ${seed}`;
}

async function download(form) {
  const { seed, request } = readAsked();
  let blob = translation.made;
  if (form === "txt") {
    const texts = [...document.querySelectorAll("#samples .text")].map((text) => text.textContent);
    blob = new Blob([texts.join("\n\n")], { type: "text/plain" });
  } else if (!translates()) {
    blob = await (await post("v1/sample", toBody({ ...request, format: form }, seed))).blob();
  }
  if (!blob) throw new ApiError("There is no translated picture yet.", 0);
  const link = make("a", { href: URL.createObjectURL(blob), download: `${contract.name}-${seed}.${form}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// What is shown

function showPicks(picks) {
  const hints = ["Pick two samples to walk between them.", "Pick another one to walk to.", ""];
  at("hint").textContent = canWalk(contract) && !walk.ends ? hints[picks.length] : "";
  at("go-between").hidden = picks.length !== 2 || walk.ends !== null;
  if (picks.length === 2) at("go-between").textContent = `Walk from ${picks[0]} to ${picks[1]}`;
}

// Who asks

const live = () => !isLoop(contract) && !translates();
at("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
at("controls").addEventListener("input", () => live() && run({ soon: true }));
at("controls").addEventListener("change", () => {
  if (isLoop(contract) && contract.output.kind !== "text") run();
});
at("controls").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
at("random").addEventListener("click", () => {
  at("seed").value = crypto.getRandomValues(new Uint32Array(1))[0];
  run();
});
at("go-between").addEventListener("click", () => {
  walk.set([...results.picks]);
  run().then(() => at("place").focus());
});
at("back").addEventListener("click", () => {
  walk.set(null);
  results.clear();
  run().then(() => document.querySelector("button.pick")?.focus());
});
at("model").addEventListener("change", () => open(at("model").value).catch(showError));
at("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(location.href);
  showStatus("The link is copied; it makes the same samples again.");
});
at("copy").hidden = !navigator.clipboard;
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(at("key").value.trim());
  start();
});
addEventListener("hashchange", start);
start();

// From a bundle's contract to its controls, and from them to a request.

import { make, makeChoice, makeList, makeNumber, makeSlider, makeSwitch, makeText } from "./inputs.js";

const ENTRIES = 16; // sliders of one code
const LOOPS = new Set(["diffusion", "pixels", "tokens"]);
const STREAMED = "stream";

/** Whether the model runs a loop whose steps can be watched. */
export const isLoop = (contract) => LOOPS.has(contract.sampler.kind);

/** Whether there are latents to walk along. */
export const canWalk = (contract) =>
  contract.priors.some((prior) => prior.kind === "normal" || prior.kind === "uniform");

/** Return how many samples are drawn at first. */
export function chooseCount(contract) {
  const { kind } = contract.output;
  const usual = { text: 1, table: 10, audio: 4, sequence: 6, voxels: 4, tensor: 6 }[kind] ?? 24;
  return Math.min(isLoop(contract) ? Math.min(usual, 12, contract.limits.stream) : usual, contract.limits.n);
}

/** Return the controls of a contract in groups: [title, [control, ...]]. */
export function makeControls(contract) {
  const groups = [["", contract.takes.includes("prompt") ? [makePrompt()] : []]];
  const conditions = contract.priors.flatMap(makeConditions);
  groups.push(["Conditions", conditions]);
  const taken = Object.keys(OPTIONS).filter((name) => contract.takes.includes(name));
  const options = taken.map((name) => OPTIONS[name](contract));
  if (contract.truncates) options.unshift(makeTruncation());
  if (isLoop(contract)) options.push(makeSwitch({ key: STREAMED, label: "Show each step" }));
  groups.push(["Sampling", options]);
  return groups;
}

const makePrompt = () =>
  makeText({ key: "prompt", label: "Prompt", unset: "The model starts by itself" });

function makeConditions(prior) {
  const key = `set.${prior.name}`;
  if (prior.kind === "categorical") return [makeClasses(prior, key)];
  if (prior.kind === "normal") return [];
  const entries = [...listEntries(prior.shape)];
  const knob = prior.kind === "constant";
  const sliders = entries.slice(0, ENTRIES).map((entry) =>
    makeSlider({
      key: key + entry,
      label: prior.name + entry,
      low: prior.low,
      high: prior.high,
      start: knob ? prior.value : undefined,
      unset: knob ? String(prior.value) : "drawn",
    }),
  );
  return entries.length > ENTRIES ? [...sliders, makeNote(prior.name, entries.length)] : sliders;
}

function makeNote(name, count) {
  const text = `The first ${ENTRIES} of ${count} entries of ${name}; the others are drawn.`;
  return { key: null, value: null, element: make("p", { class: "aside" }, text) };
}

/** Yield "[0,0]", "[0,1]" ... of a shape; of a single number, nothing but "". */
function* listEntries(shape) {
  const count = shape.reduce((product, size) => product * size, 1);
  for (let place = 0; place < count; place += 1) {
    let rest = place;
    const entry = [...shape].reverse().map((size) => {
      const index = rest % size;
      rest = (rest - index) / size;
      return index;
    });
    yield shape.length ? `[${entry.reverse().join(",")}]` : "";
  }
}

function makeClasses(prior, key) {
  const classes = Array.from({ length: prior.classes }, (_, i) => {
    const text = prior.labels[i] || String(i);
    return [text, text];
  });
  const turns = prior.labels.includes("balanced") ? [] : [["balanced", "balanced"]];
  return makeChoice({ key, label: prior.name, choices: [...turns, ...classes], unset: "drawn" });
}

const makeTruncation = () =>
  makeSlider({ key: "truncation", label: "Truncation", low: 0.05, high: 3, step: 0.05, start: 3, unset: "none" });

/** A control for each name that may be in a contract's `takes`, in the order of the page. */
const OPTIONS = {
  steps: ({ sampler, limits }) =>
    makeSlider({
      key: "steps", label: "Steps", low: 1, step: 1, start: sampler.steps, unset: String(sampler.steps),
      high: Math.min(limits.steps, Math.max(100, 2 * sampler.steps)),
    }),
  solver: ({ sampler, solvers }) =>
    makeList({
      key: "solver", label: "Solver",
      all: [["", `${sampler.solver} (usual)`], ...solvers.map((name) => [name, name])],
    }),
  guidance: ({ sampler }) => {
    const usual = sampler.guidance.default;
    return makeSlider({
      key: "guidance", label: "Guidance", low: 0, high: Math.max(10, 2 * usual), step: 0.1,
      start: usual, unset: String(usual),
    });
  },
  length: ({ sampler, limits }) =>
    makeSlider({
      key: "length", label: "Length", low: 1, step: 1, start: sampler.length, unset: String(sampler.length),
      high: sampler.kind === "tokens" ? limits.length : Math.min(limits.length, 4 * sampler.length),
    }),
  temperature: ({ sampler }) =>
    makeSlider({
      key: "temperature", label: "Temperature", low: 0, high: 2, step: 0.05,
      start: sampler.temperature, unset: String(sampler.temperature),
    }),
  top_k: () => makeNumber({ key: "top_k", label: "Top k", low: 1, unset: "all" }),
  top_p: () =>
    makeSlider({ key: "top_p", label: "Top p", low: 0.05, high: 1, step: 0.05, start: 1, unset: "all" }),
};

/** Return the request that values ask for, without its seed; a condition's key starts with "set.". */
export function makeRequest(contract, values, { n, walk }) {
  const request = { model: contract.name, n };
  const conditions = {};
  for (const [key, value] of Object.entries(values)) {
    if (value === null || key === STREAMED) continue;
    if (key.startsWith("set.")) conditions[key.slice(4)] = value;
    else request[key] = value;
  }
  if (Object.keys(conditions).length) request.conditions = conditions;
  if (walk) request.interpolate = walk;
  return request;
}

/** Whether the steps of a request are to be shown, and can be. */
export const isStreamed = (contract, values, n) =>
  isLoop(contract) && values[STREAMED] === null && n <= contract.limits.stream;

/** Return a request's JSON: the seed as it was written, all its digits. */
export const toBody = (request, seed) =>
  `{"seed":${BigInt(seed)},${JSON.stringify(request).slice(1)}`;

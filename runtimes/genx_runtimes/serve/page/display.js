// What the page says: status, steps, latency, errors.

import { ApiError, hasKey } from "./api.js";

const at = (id) => document.getElementById(id);
const KEPT = 20;
let trips = []; // milliseconds of the last requests

export const showStatus = (text) => { at("status").textContent = text; };

/** Show a request's round trip, and the median of the last ones. */
export function showTrip(ms) {
  trips = [...trips, ms].slice(-KEPT);
  const median = [...trips].sort((a, b) => a - b)[trips.length >> 1];
  const more = trips.length > 2 ? `, median of ${trips.length}: ${format(median)}` : "";
  at("latency").textContent = `${format(ms)} round trip${more}`;
  at("latency").hidden = false;
}

/** Forget the round trips of another model. */
export function clearTrips() {
  trips = [];
  at("latency").hidden = true;
}

const format = (ms) => (ms < 1000 ? `${ms.toFixed(ms < 100 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(2)} s`);

/** Show how far a loop is; `steps` is undefined where their number is not known. */
export function showStep(step, steps) {
  // Not in the status, which is read aloud.
  at("latency").textContent = steps ? `Step ${step} of ${steps}` : `Step ${step}`;
  at("latency").hidden = false;
  at("progress").hidden = !steps;
  at("progress").max = steps ?? 1;
  at("progress").value = step;
}

export const hideStep = () => { at("progress").hidden = true; };

/** Show why there is no answer; a missing key is asked for. */
export function showError(err) {
  const locked = err.status === 401;
  at("key-form").hidden = !locked;
  if (locked) at("key").focus();
  at("error").textContent = err instanceof ApiError ? err.message : `The page failed: ${err.message}`;
  at("error").hidden = locked && !hasKey();
  showStatus("");
}

export function hideError() {
  at("key-form").hidden = true;
  at("error").hidden = true;
}

// What the page shows, as the fragment of its address: a link makes the same samples again.

import { hasKey } from "./api.js";

/** Return the fragment's names and values. */
export const readLink = () => new Map(new URLSearchParams(location.hash.slice(1)));

/** Put names and values into the fragment; what is null is left out. */
export function writeLink(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null);
  // Brackets and commas may stand in a fragment, and are easier to read.
  const text = new URLSearchParams(given).toString();
  const shown = text.replaceAll("%5B", "[").replaceAll("%5D", "]").replaceAll("%2C", ",");
  history.replaceState(null, "", `#${shown}`);
}

/** Return a request as a command for a shell. */
export function toCommand(path, body, form) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const url = new URL(path, document.baseURI);
  const key = hasKey() ? ' -H "Authorization: Bearer $KEY"' : "";
  const data = body === null ? "--data-binary @picture.png" : `-d ${quoted(body)}`;
  return `curl${key} ${quoted(url.href)} \\\n  ${data} -o out.${form}`;
}

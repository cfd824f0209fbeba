// The server's endpoints, asked with the key of this tab. Paths are relative to the page's.

const KEY = "genx-key";

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEY, key);

/** Return the answer to a request; one that is refused is an ApiError with the server's words. */
export async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (err) {
    if (err.name === "AbortError") throw err;
    throw new ApiError("The server does not answer. Is it still running?", 0);
  }
  if (!answer.ok) throw new ApiError(await readError(answer), answer.status);
  return answer;
}

export const askJson = async (path) => (await ask(path)).json();

/** Post a request body, already JSON: a seed of 64 bits is more than a number of JavaScript holds. */
export const post = (path, body, signal) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body, signal });

/** Yield the name and data of each server-sent event; one called "error" is thrown. */
export async function* readEvents(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      const data = JSON.parse(fields.data);
      if (fields.event === "error") throw new ApiError(tell(data.error), 500);
      yield [fields.event, data];
    }
  }
}

const tell = (error) => (typeof error === "string" ? error : error.message);

async function readError(answer) {
  const text = await answer.text();
  try {
    return tell(JSON.parse(text).error);
  } catch {
    return `The server answered ${answer.status} ${answer.statusText}.`;
  }
}

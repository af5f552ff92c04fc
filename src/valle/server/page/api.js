// Requests to the server that this page came from, and to nothing else.

const UNREACHABLE =
  "The server does not answer. See that `valle serve` is running, then try again. Nothing that you wrote is lost.";

let key = sessionStorage.getItem("valle-key") ?? "";
let askForKey = null;

export class ServerError extends Error {
  constructor(message, status = 0, code = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.isExpected = true;
  }
}

// `ask` is called when the server needs an API key, and returns one or null.
export function onKeyNeeded(ask) {
  askForKey = ask;
}

export async function request(path, { method = "GET", json, form, body, signal, headers = {} } = {}) {
  const sent = { ...headers };
  if (key) sent.Authorization = `Bearer ${key}`;
  if (json !== undefined) {
    sent["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  let answer;
  try {
    answer = await fetch(path, { method, body: form ?? body, headers: sent, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(UNREACHABLE);
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && askForKey) {
    const given = await askForKey(Boolean(key));
    if (given) {
      key = given;
      sessionStorage.setItem("valle-key", key);
      return request(path, { method, json, form, body, signal, headers });
    }
  }
  throw await readError(answer);
}

async function readError(answer) {
  return explain(answer.status, await answer.text());
}

function explain(status, text) {
  let error = {};
  try {
    error = JSON.parse(text).error ?? {};
  } catch {
    // not ours: a proxy's page, for example
  }
  return new ServerError(capitalize(error.message ?? `The server answered ${status}.`), status, error.code);
}

export function capitalize(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export async function get(path, options) {
  return (await request(path, options)).json();
}

export async function post(path, json, options) {
  return (await request(path, { method: "POST", json, ...options })).json();
}

export async function send(path, fields, options) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof Blob) form.append(name, value, value.name ?? `${name}.wav`);
    else if (value) form.append(name, value);
  }
  return (await request(path, { method: "POST", form, ...options })).json();
}

// Sends large files; `onprogress` is called with the share that has been sent, 0 to 1.
export function upload(path, form, { headers = {}, signal, onprogress }) {
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    sent.open("POST", path);
    for (const [name, value] of Object.entries(headers)) sent.setRequestHeader(name, value);
    if (key) sent.setRequestHeader("Authorization", `Bearer ${key}`);
    sent.upload.onprogress = ({ loaded, total }) => onprogress(total ? loaded / total : 0);
    sent.onload = () => (sent.status < 300 ? resolve(JSON.parse(sent.responseText)) : reject(explain(sent.status, sent.responseText)));
    sent.onerror = () => reject(new ServerError(UNREACHABLE));
    sent.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => sent.abort());
    sent.send(form);
  });
}

// Yields the events of a stream (server-sent events) as objects.
export async function* events(path, json, signal) {
  const answer = await request(path, { method: "POST", json, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        const line = text.slice(0, end).split("\n").find((one) => one.startsWith("data: "));
        text = text.slice(end + 2);
        if (line) yield JSON.parse(line.slice(6));
      }
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The connection was lost. What was spoken so far is kept; speak again for the rest.");
  } finally {
    reader.cancel().catch(() => {});
  }
}

// Jobs of the server with files of this browser: sent, followed, stopped. They go on without the page.

import { capitalize, get, request, upload } from "./api.js";
import { button, el, fail, formatLength } from "./dom.js";
import { newId } from "./store.js";

export const LOOK = 1500; // milliseconds between two looks at jobs
export const UNFINISHED = ["queued", "running"];
const AGAIN = 10_000; // milliseconds until a job is sent once more that the server had no room for
const LEAST = 3000; // milliseconds of work from which the time that is left can be told

const ON = "You can close this page; it goes on.";

// How long some work will take, from how fast it was so far, and what happens when the page is closed.
export class Estimate {
  tell(share, after = ON) {
    const now = Date.now();
    if (!this.first || share < this.first.share) this.first = { time: now, share };
    const rate = (share - this.first.share) / (now - this.first.time);
    if (!(rate > 0) || now - this.first.time < LEAST) return `Working… ${after}`;
    return `About ${formatLength((1 - share) / rate / 1000)} left. ${after}`;
  }
}

// A piece of work; with the same key, the server takes it once only.
export function newTask(kind, request) {
  return { key: newId(), kind, request, created: Date.now(), state: "sending", progress: 0, message: "", error: null, job: null };
}

export const isUnfinished = (task) => Boolean(task) && ["sending", ...UNFINISHED].includes(task.state);

// Sends and follows the tasks of one item. `files()` resolves to the files by their names,
// `onchange(task)` is called whenever one of them has changed.
export class Runner {
  constructor({ files, onchange }) {
    this.files = files;
    this.onchange = onchange;
    this.sending = new Map(); // by key: {abort, share}
    this.waits = new Map(); // by key: until when
    this.shown = new Map(); // what is on the page, by key
    this.offline = false;
    this.looking = false;
  }

  close() {
    for (const { abort } of this.sending.values()) abort.abort();
  }

  async look(tasks) {
    if (this.looking) return;
    this.looking = true;
    try {
      for (const task of tasks) {
        if (task.state === "sending" && !this.sending.has(task.key)) this.send(task).catch(fail);
        else if (UNFINISHED.includes(task.state)) await this.ask(task);
      }
    } finally {
      this.looking = false;
    }
  }

  async send(task) {
    if (Date.now() < (this.waits.get(task.key) ?? 0)) return;
    const sending = { abort: new AbortController(), share: 0 };
    this.sending.set(task.key, sending);
    const form = new FormData();
    form.append("request", JSON.stringify(task.request));
    try {
      for (const [name, file] of Object.entries(await this.files(task))) form.append(name, file, file.name);
      const onprogress = (share) => {
        sending.share = share;
        this.onchange(task);
      };
      const job = await upload(`/v1/jobs/${task.kind}`, form, { headers: { "Idempotency-Key": task.key }, signal: sending.abort.signal, onprogress });
      Object.assign(task, { job: job.id, state: job.state, message: "" });
      this.offline = false;
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!error.status || error.status === 429) {
        this.offline = !error.status && error.isExpected === true;
        this.waits.set(task.key, Date.now() + AGAIN);
        if (!this.offline && !error.status) Object.assign(task, { state: "failed", error: error.message });
        else task.message = this.offline ? "" : "Waiting until earlier work is done";
      } else {
        Object.assign(task, { state: "failed", error: error.message });
      }
    } finally {
      this.sending.delete(task.key);
    }
    await this.onchange(task);
  }

  async ask(task) {
    const before = `${task.state} ${task.progress} ${task.message} ${this.offline}`;
    try {
      const job = await get(`/v1/jobs/${task.job}`);
      this.offline = false;
      Object.assign(task, { state: job.state, progress: job.state === "succeeded" ? 1 : job.progress, message: job.message ?? "", error: job.error?.message ?? null, seconds: job.result?.seconds });
    } catch (error) {
      if (!error.status) this.offline = true;
      else if (error.status !== 404) throw error;
      else Object.assign(task, { state: "failed", error: "The server does not know this work any more; start it again." });
    }
    if (before !== `${task.state} ${task.progress} ${task.message} ${this.offline}`) await this.onchange(task);
  }

  async stop(task) {
    if (!isUnfinished(task)) return;
    this.sending.get(task.key)?.abort.abort();
    if (task.job && UNFINISHED.includes(task.state)) await request(`/v1/jobs/${task.job}`, { method: "DELETE" });
    task.state = "cancelled";
    await this.onchange(task);
  }

  // A bar, what is being done, the time that is left, and a button to stop it. Built once for each
  // task, so that the button keeps the focus.
  show(task, label) {
    const bar = el("progress", { max: 1, "aria-label": label });
    const text = el("p", { class: "hint" });
    const stop = button("Stop", { icon: "stop", kind: "small", onclick: () => this.stop(task).catch(fail) });
    const root = el("div", { class: "work" }, bar, el("div", { class: "row between" }, text, stop));
    this.shown.set(task.key, { root, bar, text, estimate: new Estimate() });
    this.update(task);
    return root;
  }

  // Brings what is shown of a task up to date; returns whether it is shown.
  update(task) {
    const shown = this.shown.get(task.key);
    if (!shown) return false;
    shown.bar.value = task.state === "sending" ? (this.sending.get(task.key)?.share ?? 0) : task.progress;
    shown.text.textContent = this.describe(task, shown.estimate);
    return shown.root.isConnected;
  }

  describe(task, estimate) {
    if (this.offline) return "The server does not answer. It is asked again; nothing is lost.";
    if (task.state === "sending") return task.message || "Sending the files. Keep this page open until they are there.";
    if (task.state === "queued") return `Waiting for its turn. ${ON}`;
    const left = estimate.tell(task.progress);
    return task.message ? `${capitalize(task.message)} · ${left}` : left;
  }
}

export async function fetchPart(task, part = "result") {
  return request(`/v1/jobs/${task.job}/${part}`);
}

// What the parts for recordings and films have in common: a list of what is in this browser, and
// one of them that is open, kept together with its files.

import { askName, confirmAction, el, fail, formatDay, icon, iconButton, toast } from "./dom.js";
import { Runner, LOOK } from "./jobs.js";
import { get as load, newId, put, remove } from "./store.js";

const others = new BroadcastChannel("valle-items");

export const baseName = (file) => file.name.replace(/\.[^.]*$/, "");

// Keeps a new item with its files, and opens it.
export async function create(part, item, files) {
  const id = newId();
  await put("files", { id, ...files });
  await put(`${part}s`, { id, created: Date.now(), ...item });
  location.hash = `#${part}/${id}`;
}

export function buildLinks(part, items, describe) {
  return el(
    "div",
    { class: "project-list" },
    items.map((item) =>
      el(
        "a",
        { class: "card project-link", href: `#${part}/${item.id}` },
        el("div", { class: "row between" }, el("h2", {}, item.title), el("span", { class: "hint" }, `${describe(item)} · ${formatDay(item.created)}`)),
      ),
    ),
  );
}

// One item that is open. `tasks()` are its jobs; `refresh(task)` shows what has changed.
export class Open {
  constructor(part, item, { tasks, refresh }) {
    Object.assign(this, { part, item, tasks, refresh });
    this.runner = new Runner({ files: (task) => this.files(task), onchange: (task) => this.changed(task) });
    this.timer = setInterval(() => this.look(), LOOK);
    others.onmessage = ({ data }) => data === item.id && this.reload().catch(fail);
  }

  close() {
    this.isClosed = true;
    clearInterval(this.timer);
    others.onmessage = null;
    this.runner.close();
  }

  look() {
    this.runner.look(this.tasks()).catch(fail);
  }

  async files() {
    const [kept, added] = await Promise.all([load("files", this.item.id), load("files", this.addedId)]);
    if (!kept) throw new Error("The file is not in this browser any more. Drop it again as something new.");
    const { id, ...files } = { ...added, ...kept };
    return files;
  }

  // Files that came later are kept apart, so that the first ones are not written again.
  get addedId() {
    return `${this.item.id}/added`;
  }

  async setAdded(files) {
    await put("files", { id: this.addedId, ...files });
  }

  // Another tab has changed the item.
  async reload() {
    const item = await load(`${this.part}s`, this.item.id);
    if (!item) return (location.hash = `#${this.part}`);
    Object.assign(this.item, item);
    this.refresh();
  }

  async save() {
    await put(`${this.part}s`, this.item);
    others.postMessage(this.item.id);
  }

  async changed(task) {
    if (this.isClosed) return;
    if (task.state !== "sending") await this.save();
    this.refresh(task);
  }

  buildHead(text, back) {
    const { item } = this;
    const title = el("h1", {}, item.title);
    const rename = async () => {
      const name = await askName("Rename it", "Title", item.title, "Rename");
      if (!name) return;
      item.title = title.textContent = name;
      await this.save();
    };
    return el(
      "div",
      { class: "page-head" },
      el("div", {}, title, el("p", {}, text)),
      el(
        "div",
        { class: "row" },
        el("a", { class: "button quiet", href: `#${this.part}` }, icon("back"), back),
        iconButton("Rename it", "edit", { onclick: () => rename().catch(fail) }),
        iconButton("Delete it", "trash", { onclick: () => this.remove().catch(fail) }),
      ),
    );
  }

  async remove() {
    if (!(await confirmAction(`Delete ${this.item.title}?`, "It is deleted from this browser, with all that was made of it. Files that you saved stay.", "Delete"))) return;
    for (const task of this.tasks()) await this.runner.stop(task).catch(() => {});
    this.close();
    await remove(`${this.part}s`, this.item.id);
    await remove("files", this.item.id);
    await remove("files", this.addedId);
    toast(`${this.item.title} is deleted.`);
    location.hash = `#${this.part}`;
  }
}

// A version of a recording: before and after, with what changed marked on the waveforms.

import { capitalize } from "./api.js";
import { button, download, el, fail, fileName, formatTenths, icon, iconButton, notice } from "./dom.js";
import { fetchPart, isUnfinished } from "./jobs.js";
import { Player, readOutline } from "./media.js";

const AROUND = 1.5; // seconds that are heard before and after a change
const UNCLEAR = 0.35; // share of phonemes that the recognizer hears otherwise

export class Version {
  constructor(task, view) {
    this.task = task;
    this.view = view;
    this.before = this.after = null;
    this.root = el("section", { class: "card stack version", "aria-label": `Version ${task.number}` });
  }

  get players() {
    return [this.before, this.after].filter(Boolean);
  }

  release() {
    this.players.forEach((player) => player.release());
  }

  update() {
    const { task } = this;
    const { runner } = this.view.open;
    if (isUnfinished(task) && this.shown && runner.update(task)) return;
    const state = JSON.stringify([task.state, task.error]);
    if (state === this.shown) return;
    this.shown = state;
    if (task.state === "succeeded") {
      if (!this.loaded) this.load().catch(fail);
      return;
    }
    this.root.replaceChildren(
      this.buildHead(),
      isUnfinished(task) ? runner.show(task, `Of version ${task.number}`) : "",
      task.state === "failed" ? notice("bad", "It could not be made", el("p", {}, task.error), el("p", {}, "The recording and your changes are still there; change them and try again.")) : "",
    );
  }

  buildHead() {
    const { task } = this;
    const [kind, text] = { succeeded: ["good", "ready"], failed: ["bad", "failed"], cancelled: ["warn", "stopped"] }[task.state] ?? ["", "working"];
    return el(
      "div",
      { class: "version-head" },
      el(
        "div",
        {},
        el("h2", {}, `Version ${task.number}`, " ", el("span", { class: `badge ${kind}` }, kind === "good" ? icon("check") : "", text)),
        el("p", { class: "soft" }, `${task.summary.slice(0, 3).join(", ")}${task.summary.length > 3 ? `, and ${task.summary.length - 3} more` : ""}`),
      ),
      isUnfinished(task) ? "" : iconButton(`Delete version ${task.number}`, "trash", { onclick: () => this.view.removeVersion(task).catch(fail) }),
    );
  }

  async load() {
    this.loaded = true;
    const { task, view } = this;
    this.root.replaceChildren(this.buildHead(), el("div", { class: "row" }, el("span", { class: "spinner" }), "Fetching it…"));
    try {
      const [file, report] = await Promise.all([fetchPart(task).then((answer) => answer.blob()), fetchPart(task, "report").then((answer) => answer.json())]);
      this.file = file;
      this.before = new Player(`version ${task.number} before`);
      this.after = new Player(`version ${task.number} after`);
      this.before.load(view.recording, view.outline);
      this.after.load(file, await readOutline(file));
      this.before.setMarks(report.edits.map(({ was }) => ({ start: was[0], end: was[1], kind: "removed" })));
      this.after.setMarks(report.edits.map(({ now, added }) => ({ start: now[0], end: now[1], kind: added ? "added" : "cut" })));
      this.root.replaceChildren(this.buildHead(), this.buildBoth(report), this.buildEdits(report), this.buildDownloads());
    } catch (error) {
      this.loaded = false;
      this.shown = null;
      this.root.replaceChildren(this.buildHead(), notice("bad", "It could not be fetched", el("p", {}, error.message), button("Try again", { onclick: () => this.update() })));
    }
  }

  buildBoth(report) {
    const difference = report.seconds - (this.view.outline?.seconds ?? report.seconds);
    const length = Math.abs(difference) < 0.05 ? "" : `, ${Math.abs(difference).toFixed(1)} s ${difference < 0 ? "shorter" : "longer"}`;
    return el(
      "div",
      { class: "both" },
      el("h3", {}, "Before"),
      this.before.root,
      el("h3", {}, `After${length}`),
      this.after.root,
    );
  }

  buildEdits({ edits }) {
    return el(
      "ol",
      { class: "edits" },
      edits.map((edit, index) => {
        const isUnclear = edit.phoneme_error_rate !== null && edit.phoneme_error_rate > UNCLEAR;
        const hear = (label, player, [start, end]) =>
          el("button", { type: "button", class: "button small", "aria-label": `Hear change ${index + 1} ${label}`, onclick: () => player.play(start - AROUND, end + AROUND).catch(fail) }, icon("play"), capitalize(label));
        return el(
          "li",
          {},
          el("span", { class: "time" }, formatTenths(edit.now[0])),
          el(
            "span",
            { class: "edit-text" },
            edit.removed ? el("del", {}, edit.removed) : null,
            " ",
            edit.added ? el("ins", {}, edit.added) : null,
            edit.removed || edit.added ? null : el("span", { class: "soft" }, `a pause, ${(edit.was[1] - edit.was[0] - (edit.now[1] - edit.now[0])).toFixed(1)} s shorter`),
            isUnclear ? el("span", { class: "sentence-note" }, "The recognizer is not sure of the new words. Listen to them, and have them said in another way if they are not clear.") : null,
          ),
          el("span", { class: "row" }, hear("before", this.before, edit.was), hear("after", this.after, edit.now)),
        );
      }),
    );
  }

  buildDownloads() {
    const { task, view } = this;
    const { format, changes = [] } = task.request;
    const name = fileName(`${view.item.title} version ${task.number}`, format);
    const saveRecord = async () => download(await (await fetchPart(task, "record")).blob(), `${name}.json`);
    const hasNewWords = changes.some((change) => change.text);
    return el(
      "div",
      { class: "row between" },
      el(
        "div",
        { class: "row" },
        button(`Download ${format.toUpperCase()}`, { icon: "down", kind: "primary", onclick: () => download(this.file, name) }),
        button("Signed record", { kind: "quiet", title: "How this file was made, signed: keep it beside the file", onclick: () => saveRecord().catch(fail) }),
      ),
      hasNewWords ? button("Say the new words in another way", { icon: "redo", kind: "small", onclick: () => view.again(task) }) : "",
    );
  }
}

// A chapter of a project: how far it is, its sound, its text.

import { post } from "./api.js";
import { ask, button, download, el, fail, fileName, formatLength, icon, iconButton, notice } from "./dom.js";
import { UNFINISHED } from "./jobs.js";
import { recallDraft, rememberDraft } from "./store.js";

export const CHARACTERS_PER_SECOND = 14;

export class ChapterRow {
  constructor(view, index) {
    this.view = view;
    this.index = index;
    this.root = el("div", { class: "chapter" });
    this.update();
  }

  get chapter() {
    return this.view.project.chapters[this.index];
  }

  update() {
    const { chapter } = this;
    const state = JSON.stringify([chapter.state, chapter.progress, chapter.error, chapter.text.length]);
    if (state === this.shown) return;
    this.shown = state;
    const done = chapter.state === "succeeded";
    const act = (label, name, work) => iconButton(`${label} ${chapter.title}`, name, { onclick: () => work().catch(fail) });
    this.player = el("div", {});
    this.root.replaceChildren(
      el(
        "div",
        { class: "chapter-head" },
        el("h2", {}, chapter.title),
        this.describeState(),
        done ? act("Play", "play", () => this.play()) : "",
        done ? act("Save", "down", () => this.save()) : "",
        act("Change the text of", "edit", () => this.edit()),
        done || chapter.state === "failed" ? act("Speak again:", "redo", () => this.view.make([chapter])) : "",
      ),
      UNFINISHED.includes(chapter.state) ? el("progress", { max: 1, value: chapter.progress, "aria-label": `Of ${chapter.title}` }) : "",
      chapter.error && chapter.state === "failed" ? notice("bad", null, el("p", {}, chapter.error)) : "",
      this.player,
    );
  }

  describeState() {
    const { chapter } = this;
    const length = formatLength(chapter.seconds ?? chapter.text.length / CHARACTERS_PER_SECOND / this.view.project.speed);
    const badges = {
      new: ["", `about ${length}`],
      waiting: ["", "waiting"],
      queued: ["", "waiting"],
      running: ["", `${Math.round(100 * chapter.progress)} %`],
      succeeded: ["good", length],
      failed: ["bad", "failed"],
      cancelled: ["warn", "stopped"],
    };
    const [kind, text] = badges[chapter.state];
    return el("span", { class: `badge ${kind}` }, chapter.state === "succeeded" ? icon("check") : "", text);
  }

  async play() {
    const url = URL.createObjectURL(await this.view.fetch(this.chapter, "result"));
    this.view.urls.push(url);
    this.player.replaceChildren(el("audio", { src: url, controls: true, autoplay: true, "aria-label": this.chapter.title }));
  }

  async save() {
    const { chapter, view } = this;
    const ending = chapter.format === "opus" ? "ogg" : chapter.format;
    const number = String(this.index + 1).padStart(2, "0");
    download(await view.fetch(chapter, "result"), `${number}-${fileName(chapter.title, ending)}`);
  }

  async edit() {
    const { chapter } = this;
    const text = await ask(chapter.title, (close) => {
      const input = el("textarea", { rows: 14, "aria-label": "The text of the chapter" });
      input.value = chapter.text;
      const openInWrite = () => {
        rememberDraft({ ...recallDraft({}), text: chapter.text, voice: this.view.project.voice });
        close();
        location.hash = "#write";
      };
      return el(
        "form",
        {
          onsubmit: (event) => {
            event.preventDefault();
            close(input.value);
          },
        },
        input,
        el("div", { class: "actions" }, button("Open it in Write", { kind: "quiet", onclick: openInWrite }), button("Cancel", { onclick: () => close() }), el("button", { class: "button primary" }, "Save")),
      );
    });
    if (!text?.trim() || text === chapter.text) return;
    const { turns } = this.view.project.isDialogue ? await post("/v1/studio/turns", { text }) : { turns: [] };
    Object.assign(chapter, { text, turns, state: "new", progress: 0, job: null });
    for (const turn of turns) this.view.project.cast[turn.speaker] ??= null;
    this.view.showSettings();
    await this.view.save();
    this.view.refresh();
  }
}

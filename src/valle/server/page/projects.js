// Projects: long texts by chapters, dialogues with a voice for each speaker. The server's jobs make
// the sound, also while this page is closed; the browser keeps the texts and which job is whose.

import { get, post, request, send } from "./api.js";
import {
  ask, askName, button, confirmAction, download, dropZone, el, fail, field, fileName, formatLength,
  hideToast, icon, iconButton, notice, toast,
} from "./dom.js";
import { lexicon } from "./lexicon.js";
import { get as load, list, newId, put, recall, remember, remove } from "./store.js";

const CHARACTERS_PER_SECOND = 14;
const LOOK = 1500; // milliseconds between two looks at the jobs
const TEXTS = ".epub,.txt,.md,.markdown,.html,.htm";
const FORMATS = { mp3: "MP3", opus: "Opus", flac: "FLAC", wav: "WAV" };
const UNFINISHED = ["queued", "running"];
const others = new BroadcastChannel("valle-projects");

export async function showProjects(main, { studio, path }) {
  if (path[0]) {
    const project = await load("projects", path[0]);
    if (project) return showProject(main, project);
    toast("That project is not in this browser.");
  }
  const projects = await list("projects");
  main.append(
    el(
      "div",
      { class: "page-head" },
      el("div", {}, el("h1", {}, "Projects"), el("p", {}, "Long texts, chapter by chapter, and dialogues with a voice for each speaker. They go on while this page is closed.")),
    ),
    el(
      "div",
      { class: "stack" },
      el(
        "section",
        { class: "card stack", "aria-label": "New project" },
        dropZone("Drop a book or a script here, or choose one", "EPUB, Markdown, HTML or plain text", TEXTS, (file) => readFile(file).catch(fail)),
        el("div", { class: "row" }, button("Paste a text", { icon: "pen", onclick: () => paste().catch(fail) })),
      ),
      projects.length ? el("div", { class: "project-list" }, projects.map(buildLink)) : null,
    ),
  );
  return null;
}

function buildLink(project) {
  const done = project.chapters.filter((chapter) => chapter.state === "succeeded").length;
  return el(
    "a",
    { class: "card project-link", href: `#projects/${project.id}` },
    el("div", { class: "row between" }, el("h2", {}, project.title), el("span", { class: "hint" }, `${done} of ${countChapters(project.chapters.length)} spoken`)),
    el("progress", { max: project.chapters.length, value: done, "aria-label": `${project.title}: chapters that are spoken` }),
  );
}

const countChapters = (count) => `${count} ${count === 1 ? "chapter" : "chapters"}`;

async function readFile(file) {
  toast(`Reading ${file.name}…`);
  const name = file.name.replace(/\.[^.]*$/, "");
  if (/\.(txt|md|markdown)$/i.test(file.name) && (await createDialogue(await file.text(), name))) return;
  const read = await send("/v1/studio/texts", { file });
  await create({ title: read.title ?? name, chapters: read.chapters, omissions: read.omissions });
}

// A text in which somebody says everything: each part under a heading is a chapter.
async function createDialogue(text, title) {
  const chapters = [];
  for (const part of text.split(/^(?=#{1,3} )/m)) {
    const [, heading = "", body] = part.match(/^(?:#{1,3} +(.*)\n?)?([^]*)$/);
    if (!body.trim()) continue;
    const { turns } = await post("/v1/studio/turns", { text: body });
    if (!turns.length) return false;
    chapters.push({ title: heading.trim() || "Dialogue", text: body.trim(), turns });
  }
  const speakers = new Set(chapters.flatMap((chapter) => chapter.turns.map((turn) => turn.speaker)));
  if (speakers.size < 2) return false;
  await create({ title: title ?? chapters[0].title, chapters, isDialogue: true });
  return true;
}

async function paste() {
  const text = await ask("New project", (close) => {
    const input = el("textarea", { rows: 12, required: true, "aria-label": "The text", placeholder: "# Chapter one\n\nPaste a text here. Lines that begin with # start chapters.\n\nADA: Lines like this one make it a dialogue." });
    return el(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          close(input.value);
        },
      },
      input,
      el("div", { class: "actions" }, button("Cancel", { onclick: () => close() }), el("button", { class: "button primary" }, "Create")),
    );
  });
  if (!text?.trim() || (await createDialogue(text))) return;
  const read = await send("/v1/studio/texts", { file: new File([text], "text.md", { type: "text/markdown" }) });
  await create({ title: read.title ?? read.chapters[0]?.title ?? "Text", chapters: read.chapters, omissions: read.omissions });
}

async function create({ title, chapters, omissions = [], isDialogue = false }) {
  const speakers = chapters.flatMap((chapter) => (chapter.turns ?? []).map((turn) => turn.speaker));
  const project = {
    id: newId(),
    created: Date.now(),
    title,
    voice: null,
    cast: Object.fromEntries(speakers.map((speaker) => [speaker, null])),
    isDialogue,
    format: "mp3",
    speed: 1,
    omissions,
    chapters: chapters
      .filter((chapter) => chapter.text.trim())
      .map((chapter) => ({ turns: [], ...chapter, job: null, state: "new", progress: 0, attempt: 0 })),
  };
  await put("projects", project);
  hideToast();
  location.hash = `#projects/${project.id}`;
}

async function showProject(main, project) {
  const voices = (await get("/v1/studio/voices")).data.filter((voice) => voice.usable).map((voice) => voice.name);
  const view = new ProjectView(main, project, voices);
  await view.look();
  const timer = setInterval(() => view.look().catch(fail), LOOK);
  others.onmessage = ({ data }) => data === project.id && view.reload().catch(fail);
  return () => {
    clearInterval(timer);
    others.onmessage = null;
    view.close();
  };
}

class ProjectView {
  constructor(main, project, voices) {
    this.project = project;
    this.voices = voices;
    this.urls = [];
    this.looking = false;
    this.offline = false;
    this.speed = null; // {time, characters} at the first look, to tell the time that is left
    this.head = el("div", {});
    this.settings = el("section", { class: "card stack", "aria-label": "Voices and file" });
    this.chapters = el("section", { class: "card", "aria-label": "Chapters" });
    this.rows = [];
    main.append(this.head, el("div", { class: "stack" }, this.settings, this.chapters));
    this.showSettings();
    this.showChapters();
    this.showHead();
  }

  close() {
    this.urls.forEach((url) => URL.revokeObjectURL(url));
  }

  async save() {
    await put("projects", this.project);
    others.postMessage(this.project.id);
  }

  async reload() {
    this.project = (await load("projects", this.project.id)) ?? this.project;
    this.refresh();
  }

  showHead() {
    const { project } = this;
    const total = count(project.chapters, () => true);
    const done = project.chapters.reduce((sum, one) => sum + one.text.length * (one.state === "succeeded" ? 1 : one.progress), 0);
    const working = project.chapters.some((one) => UNFINISHED.includes(one.state));
    const open = project.chapters.filter((one) => ["new", "failed", "cancelled", "waiting"].includes(one.state)).length;
    const left = working ? this.estimate(done, total) : "";
    this.head.replaceChildren(
      el(
        "div",
        { class: "page-head" },
        el(
          "div",
          {},
          el("h1", {}, project.title),
          el("p", {}, `${countChapters(project.chapters.length)}, about ${formatLength(total / CHARACTERS_PER_SECOND / project.speed)} of speech`),
        ),
        el(
          "div",
          { class: "row" },
          el("a", { class: "button quiet", href: "#projects" }, icon("back"), "All projects"),
          iconButton("Rename the project", "edit", { onclick: () => this.rename().catch(fail) }),
          iconButton("Delete the project", "trash", { onclick: () => this.remove().catch(fail) }),
          working
            ? button("Stop", { icon: "stop", onclick: () => this.stop().catch(fail) })
            : button(open === project.chapters.length ? "Speak it all" : open ? "Speak the rest" : "All spoken", { icon: open ? "play" : "check", kind: "primary", disabled: !open || !this.voices.length, onclick: () => this.make().catch(fail) }),
        ),
      ),
      working || done
        ? el("div", { class: "stack" }, el("progress", { max: total, value: done, "aria-label": "Of the project" }), el("p", { class: "hint", role: "status" }, this.offline ? "The server does not answer. It is asked again; nothing is lost." : left))
        : "",
      this.voices.length ? "" : notice("warn", "There is no voice yet", el("a", { class: "button", href: "#voices/new" }, "Make a voice")),
    );
  }

  estimate(done, total) {
    const now = Date.now();
    if (!this.speed || done < this.speed.done) this.speed = { time: now, done };
    const rate = (done - this.speed.done) / (now - this.speed.time);
    if (!(rate > 0) || now - this.speed.time < 3000) return "Working…";
    return `About ${formatLength((total - done) / rate / 1000)} left. You can close this page; it goes on.`;
  }

  showSettings() {
    const { project, voices } = this;
    const save = () => this.save().catch(fail);
    const pick = (value, take) =>
      el("select", { onchange: (event) => { take(event.target.value); save(); } }, voices.map((name) => el("option", { value: name, selected: name === value }, name)));
    project.voice = voices.includes(project.voice) ? project.voice : voices[0];
    const speakers = Object.keys(project.cast);
    for (const [index, speaker] of speakers.entries()) {
      const namesake = voices.find((name) => name.toLowerCase() === speaker.toLowerCase());
      if (!voices.includes(project.cast[speaker])) project.cast[speaker] = namesake ?? voices[index % Math.max(1, voices.length)];
    }
    const dialogue = el("input", { type: "checkbox", id: "dialogue", checked: project.isDialogue, onchange: () => { project.isDialogue = dialogue.checked; save(); this.showSettings(); } });
    const pace = el("select", { onchange: () => { project.speed = Number(pace.value); save(); this.showHead(); } }, [0.8, 0.9, 1, 1.1, 1.2, 1.35, 1.5].map((speed) => el("option", { value: speed, selected: speed === project.speed }, speed === 1 ? "As recorded" : `${speed}×`)));
    const format = el("select", { onchange: () => { project.format = format.value; save(); } }, Object.entries(FORMATS).map(([id, name]) => el("option", { value: id, selected: id === project.format }, name)));
    this.settings.replaceChildren(
      speakers.length ? el("label", { class: "tick", for: "dialogue" }, dialogue, el("span", {}, `It is a dialogue: a voice for each of ${speakers.slice(0, 6).join(", ")}`)) : "",
      el(
        "div",
        { class: "cast" },
        project.isDialogue
          ? speakers.map((speaker) => field(speaker, pick(project.cast[speaker], (name) => (project.cast[speaker] = name))))
          : field("Voice", pick(project.voice, (name) => (project.voice = name))),
        field("Pace", pace),
        field("File", format),
      ),
      project.omissions?.length
        ? el("details", {}, el("summary", {}, `${project.omissions.length} things in it will not be spoken`), el("ul", { class: "uses" }, project.omissions.slice(0, 100).map((one) => el("li", {}, `${one.where ? `${one.where}: ` : ""}“${one.text}” (${one.why})`))))
        : "",
    );
  }

  showChapters() {
    this.rows = this.project.chapters.map((_, index) => new ChapterRow(this, index));
    this.chapters.replaceChildren(...this.rows.map((row) => row.root));
  }

  refresh() {
    this.showHead();
    this.rows.forEach((row) => row.update());
  }

  // Asks for the state of all jobs that are not done, and submits chapters that wait for room.
  async look() {
    if (this.looking) return;
    this.looking = true;
    let changed = false;
    try {
      for (const chapter of this.project.chapters) {
        if (!chapter.job || !UNFINISHED.includes(chapter.state)) continue;
        changed = (await this.ask(chapter)) || changed;
      }
      if (this.offline) changed = true;
      this.offline = false;
      const waiting = this.project.chapters.some((one) => one.state === "waiting");
      if (waiting && (await this.submit())) changed = true;
    } catch (error) {
      if (error.status) throw error;
      changed = !this.offline;
      this.offline = true;
    } finally {
      this.looking = false;
    }
    if (!changed) return;
    if (!this.offline) await this.save();
    this.refresh();
  }

  async ask(chapter) {
    const before = `${chapter.state} ${chapter.progress}`;
    try {
      const job = await get(`/v1/jobs/${chapter.job}`);
      Object.assign(chapter, { state: job.state, progress: job.state === "succeeded" ? 1 : job.progress, seconds: job.result?.seconds, bytes: job.result?.bytes, error: job.error?.message ?? null });
    } catch (error) {
      if (error.status !== 404) throw error;
      Object.assign(chapter, { state: "failed", error: "The server does not know this work any more; speak it again." });
    }
    return before !== `${chapter.state} ${chapter.progress}`;
  }

  async make(chapters = this.project.chapters.filter((one) => one.state !== "succeeded")) {
    for (const chapter of chapters) Object.assign(chapter, { state: "waiting", progress: 0, job: null, error: null, attempt: chapter.attempt + 1 });
    this.speed = null;
    await this.submit();
    await this.save();
    this.refresh();
  }

  // Submits what waits, until the server has enough to do.
  async submit() {
    let submitted = false;
    for (const [index, chapter] of this.project.chapters.entries()) {
      if (chapter.state !== "waiting") continue;
      try {
        const job = await post("/v1/jobs", { kind: "speech", request: this.describe(chapter) }, { headers: { "Idempotency-Key": `${this.project.id}-${index}-${chapter.attempt}` } });
        Object.assign(chapter, { job: job.id, state: job.state, format: this.project.format });
      } catch (error) {
        if (error.status === 429) break; // enough is being done: at the next look
        if (!error.status) throw error;
        Object.assign(chapter, { state: "failed", error: error.message });
      }
      submitted = true;
    }
    return submitted;
  }

  describe(chapter) {
    const { project } = this;
    const cast = project.isDialogue && chapter.turns.length;
    const text = cast ? chapter.turns.map((turn) => `[voice:${project.cast[turn.speaker]}]${turn.text}`).join("\n") : chapter.text;
    const words = lexicon();
    return {
      model: "valle",
      input: text,
      voice: cast ? project.cast[chapter.turns[0].speaker] : project.voice,
      response_format: project.format,
      speed: project.speed,
      retries: 2,
      ...(Object.keys(words).length ? { lexicon: words } : {}),
    };
  }

  async stop() {
    for (const chapter of this.project.chapters) {
      if (chapter.job && UNFINISHED.includes(chapter.state)) await request(`/v1/jobs/${chapter.job}`, { method: "DELETE" });
      if (["waiting", ...UNFINISHED].includes(chapter.state)) Object.assign(chapter, { state: "cancelled", progress: 0 });
    }
    await this.save();
    this.refresh();
  }

  async rename() {
    const title = await askName("Rename the project", "Title", this.project.title, "Rename");
    if (!title) return;
    this.project.title = title;
    await this.save();
    this.showHead();
  }

  async remove() {
    if (!(await confirmAction(`Delete ${this.project.title}?`, "The project is deleted from this browser. Files that you saved stay.", "Delete"))) return;
    await this.stop();
    await remove("projects", this.project.id);
    location.hash = "#projects";
  }

  async fetch(chapter, what) {
    const answer = await request(`/v1/jobs/${chapter.job}/${what}`);
    return answer.blob();
  }
}

const count = (chapters, counts) => chapters.filter(counts).reduce((sum, chapter) => sum + chapter.text.length, 0);

class ChapterRow {
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
        remember("draft", { ...recall("draft", {}), text: chapter.text, voice: this.view.project.voice });
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

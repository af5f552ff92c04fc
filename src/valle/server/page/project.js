// One project: its voices, its chapters, and the jobs that speak them.

import { get, post, request } from "./api.js";
import { CHARACTERS_PER_SECOND, ChapterRow } from "./chapter.js";
import { askName, button, confirmAction, el, fail, field, formatLength, icon, iconButton, notice } from "./dom.js";
import { Estimate, LOOK, UNFINISHED } from "./jobs.js";
import { lexicon } from "./lexicon.js";
import { get as load, put, remove } from "./store.js";

const FORMATS = { mp3: "MP3", opus: "Opus", flac: "FLAC", wav: "WAV" };
const others = new BroadcastChannel("valle-projects");

export const countChapters = (count) => `${count} ${count === 1 ? "chapter" : "chapters"}`;

export async function showProject(main, project, studio) {
  const voices = (await get("/v1/studio/voices")).data.filter((voice) => voice.usable).map((voice) => voice.name);
  const view = new ProjectView(main, project, { studio, voices });
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
  constructor(main, project, { studio, voices }) {
    Object.assign(this, { project, studio, voices });
    this.urls = [];
    this.looking = false;
    this.offline = false;
    this.estimate = new Estimate();
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
    const working = project.chapters.some((one) => ["waiting", ...UNFINISHED].includes(one.state));
    const open = project.chapters.filter((one) => ["new", "failed", "cancelled"].includes(one.state)).length;
    const waiting = project.chapters.filter((one) => one.state === "waiting").length;
    // The server takes so many at once, and this page sends the others.
    const after = waiting ? `${countChapters(waiting)} ${waiting === 1 ? "is" : "are"} sent as others are done: keep this page open, or come back to it.` : undefined;
    const left = working ? this.estimate.tell(done / total, after) : "";
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
    this.estimate = new Estimate();
    await this.save(); // before the server is asked: whatever happens meanwhile, it is asked again
    this.refresh();
    await this.look();
  }

  // Submits what waits, until the server has enough to do.
  async submit() {
    let submitted = false;
    let room = this.studio.max_jobs - this.project.chapters.filter((one) => UNFINISHED.includes(one.state)).length;
    for (const [index, chapter] of this.project.chapters.entries()) {
      if (chapter.state !== "waiting") continue;
      if (room-- <= 0) break;
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
    const { chapters } = this.project;
    const running = chapters.filter((one) => one.job && UNFINISHED.includes(one.state));
    const cancel = (chapter) => Object.assign(chapter, { state: "cancelled", progress: 0 });
    chapters.filter((one) => one.state === "waiting").forEach(cancel); // before there is room for them
    await Promise.all(running.map((one) => request(`/v1/jobs/${one.job}`, { method: "DELETE" })));
    running.forEach(cancel);
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

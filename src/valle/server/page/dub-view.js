// One film: it is watched, its cues are looked at and changed, and it is dubbed.

import { get } from "./api.js";
import { announce, button, download, el, fail, field, fileName, notice, toast } from "./dom.js";
import { CueTable } from "./cues.js";
import { SoundChoice } from "./dub-sound.js";
import { Open } from "./items.js";
import { fetchPart, isUnfinished, newTask } from "./jobs.js";
import { lexicon } from "./lexicon.js";
import { buildOptions } from "./options.js";

const FORMATS = { mp4: "MP4", mov: "MOV", mkv: "MKV" };
// Options with a place of their own.
const LEFT = ["original", "duck", "background", "track", "lexicon", "redo", "seed"];

export async function showFilm(main, item, studio) {
  const voices = (await get("/v1/studio/voices")).data.filter((voice) => voice.usable).map((voice) => voice.name);
  const view = new FilmView(main, item, { studio, voices });
  await view.begin();
  return () => view.close();
}

class FilmView {
  constructor(main, item, { studio, voices }) {
    Object.assign(this, { item, studio, voices });
    this.open = new Open("dub", item, { tasks: () => (item.task ? [item.task] : []), refresh: () => this.refresh() });
    this.report = new Map(); // what became of cues, by their labels
    this.urls = [];
    this.canPlay = false;
    this.video = el("video", { controls: true, playsinline: true, "aria-label": item.title, onplay: () => this.follow(), onseeked: () => this.follow(), onerror: () => this.explainVideo(), onloadedmetadata: () => this.allowPlay() });
    this.stageNote = el("div", {});
    this.switch = el("div", { class: "row", role: "group", "aria-label": "What is shown" });
    this.work = el("div", { class: "stack" });
    this.settings = el("section", { class: "card stack", "aria-label": "Voices and sound" });
    this.chooseVoices();
    this.sound = new SoundChoice(this);
    this.table = new CueTable(item.cues, this);
    main.append(
      this.open.buildHead("The picture is copied as it is; the speech is new.", "All films"),
      el(
        "div",
        { class: "stack" },
        el("div", { class: "film" }, el("section", { class: "card stack stage", "aria-label": "The film" }, this.video, this.stageNote, this.switch, this.work), this.settings),
        item.notes.length ? el("details", { class: "card" }, el("summary", {}, `${item.notes.length} ${item.notes.length === 1 ? "thing was" : "things were"} repaired in the subtitles, or is not spoken`), el("ul", { class: "uses" }, item.notes.map((note) => el("li", {}, note)))) : "",
        this.table.root,
      ),
    );
    this.showSettings();
  }

  async begin() {
    const { film } = await this.open.files();
    this.film = film;
    this.sound.look(film).catch(fail);
    await this.refresh();
    if (!this.item.done) this.showVideo("original");
    this.open.look();
  }

  close() {
    this.open.close();
    this.urls.forEach((url) => URL.revokeObjectURL(url));
  }

  async refresh() {
    const { item } = this;
    if (item.task?.state === "succeeded" && item.done?.key !== item.task.key) {
      item.done = item.task;
      await this.open.save();
      announce("The film is dubbed");
    }
    this.showWork();
    if (item.done && this.fetched !== item.done.key) await this.fetch(item.done).catch((error) => this.explainFetch(error));
  }

  async fetch(task) {
    this.fetched = task.key;
    this.stageNote.replaceChildren(el("div", { class: "row" }, el("span", { class: "spinner" }), "Fetching the film…"));
    const [film, report, subtitles] = await Promise.all([
      fetchPart(task).then((answer) => answer.blob()),
      fetchPart(task, "report").then((answer) => answer.json()),
      fetchPart(task, "subtitles").then((answer) => answer.text()),
    ]);
    Object.assign(this, { dubbed: film, subtitles, left: report.left_out });
    this.report = new Map(report.cues.map((cue) => [cue.cue, cue]));
    this.stageNote.replaceChildren(...report.left_out.map((text) => notice("warn", null, el("p", {}, text))));
    this.table.update();
    this.showVideo("dubbed");
    this.showWork();
  }

  explainFetch(error) {
    const again = () => {
      this.fetched = null;
      this.refresh().catch(fail);
    };
    this.stageNote.replaceChildren(notice("bad", "The dubbed film could not be fetched", el("p", {}, error.message), button("Try again", { onclick: again })));
    if (!this.video.src) this.showVideo("original");
  }

  showVideo(which) {
    this.showing = which;
    this.urls.forEach((url) => URL.revokeObjectURL(url));
    const film = URL.createObjectURL(which === "dubbed" ? this.dubbed : this.film);
    const captions = URL.createObjectURL(new Blob([which === "dubbed" ? srtToVtt(this.subtitles) : cuesToVtt(this.item.cues)], { type: "text/vtt" }));
    this.urls = [film, captions];
    this.canPlay = false;
    this.video.replaceChildren(el("track", { kind: "captions", label: "English", srclang: "en", src: captions, default: true }));
    this.video.src = film;
    const choice = (id, label) => button(label, { kind: "small", "aria-pressed": String(which === id), onclick: () => this.showVideo(id) });
    this.switch.replaceChildren(...(this.dubbed ? [choice("dubbed", "Dubbed"), choice("original", "Original")] : []));
  }

  allowPlay() {
    this.canPlay = true;
    if (!this.video.videoWidth) this.explainVideo();
    this.table.update();
  }

  explainVideo() {
    if (!this.video.src || this.stageNote.querySelector(".no-picture")) return;
    const text = this.showing === "dubbed" ? "Download the film to watch it in another player." : "It can be dubbed all the same.";
    this.stageNote.append(el("div", { class: "no-picture" }, notice("plain", null, el("p", {}, `This browser cannot show the picture of this film. ${text}`))));
  }

  // Has the cue lit that is heard, picture by picture: some are shorter than a quarter of a second.
  follow() {
    this.table.light(this.video.currentTime);
    cancelAnimationFrame(this.frame);
    if (!this.video.paused && this.video.isConnected) this.frame = requestAnimationFrame(() => this.follow());
  }

  chooseVoices() {
    const { item, voices } = this;
    this.speakers = [...new Set(item.cues.map((cue) => cue.speaker).filter(Boolean))];
    if (!voices.includes(item.voice)) item.voice = voices[0] ?? null;
    for (const [index, speaker] of this.speakers.entries()) {
      const namesake = voices.find((name) => name.toLowerCase() === speaker.toLowerCase());
      if (!voices.includes(item.cast[speaker])) item.cast[speaker] = namesake ?? voices[index % Math.max(1, voices.length)] ?? null;
    }
  }

  save() {
    this.open.save().catch(fail);
    this.table.update();
    this.showWork();
  }

  showSettings() {
    const { item, studio, voices } = this;
    const pick = (values, chosen, take) => el("select", { onchange: (event) => { take(event.target.value); this.save(); } }, Object.entries(values).map(([value, name]) => el("option", { value, selected: value === chosen }, name)));
    const names = Object.fromEntries(voices.map((name) => [name, name]));
    const others = item.cues.some((cue) => !cue.speaker);
    const more = buildOptions(studio.dub_options, item.options, () => { item.options = { ...this.sound.options, ...more.values() }; this.save(); }, { left: LEFT });
    this.settings.replaceChildren(
      el("h2", {}, "Voices and sound"),
      ...(voices.length
        ? [...this.speakers.map((speaker) => field(speaker, pick(names, item.cast[speaker], (name) => (item.cast[speaker] = name)))), others ? field(this.speakers.length ? "Everybody else" : "Voice", pick(names, item.voice, (name) => (item.voice = name))) : ""]
        : [notice("warn", "There is no voice yet", el("p", {}, "Speech needs a voice whose owner has agreed."), el("a", { class: "button", href: "#voices/new" }, "Make a voice"))]),
      this.sound.root,
      field("File", pick(FORMATS, item.format, (format) => (item.format = format))),
      el("details", {}, el("summary", {}, "More options"), el("div", { class: "stack" }, more.fields)),
    );
  }

  showWork() {
    const { item } = this;
    const { task, done } = item;
    const { runner } = this.open;
    const changed = item.cues.filter((cue) => this.isChanged(cue)).length;
    const state = JSON.stringify([isUnfinished(task), task?.error, done?.key, Boolean(this.dubbed), this.isDue(), changed]);
    if (isUnfinished(task)) runner.update(task);
    if (state === this.shownWork) return;
    this.shownWork = state;
    const label = done ? "Dub again" : "Dub the film";
    const action = button(label, { icon: "wave", kind: "primary", disabled: !this.voices.length, onclick: () => this.make() });
    this.work.replaceChildren(
      task?.state === "failed" ? notice("bad", "It could not be dubbed", el("p", {}, task.error), el("p", {}, "What was spoken is kept: only the rest is spoken when you dub again.")) : "",
      isUnfinished(task) ? runner.show(task, "Of the dub") : this.isDue() ? el("div", { class: "row" }, action, el("p", { class: "hint" }, !done ? "" : changed ? `${changed} ${changed === 1 ? "cue is" : "cues are"} spoken again; the others are kept.` : "All that is spoken is kept.")) : "",
      this.dubbed ? this.buildDownloads() : "",
    );
  }

  buildDownloads() {
    const { item } = this;
    const { format } = item.done.request;
    const name = (ending) => fileName(`${item.title} dubbed`, ending);
    const saveRecord = async () => download(await (await fetchPart(item.done, "record")).blob(), `${name(format)}.json`);
    return el(
      "div",
      { class: "chips downloads" },
      button("Download the film", { icon: "down", kind: `small ${this.isDue() ? "" : "primary"}`, onclick: () => download(this.dubbed, name(format)) }),
      button("SRT", { kind: "small", "aria-label": "Download the subtitles as SRT", onclick: () => download(this.subtitles, name("srt"), "application/x-subrip") }),
      button("VTT", { kind: "small", "aria-label": "Download the subtitles as VTT", onclick: () => download(srtToVtt(this.subtitles), name("vtt"), "text/vtt") }),
      button("Signed record", { kind: "small quiet", title: "How this film was made, signed: keep it beside the file", onclick: () => saveRecord().catch(fail) }),
    );
  }

  // What the server is asked for, as things are now.
  describe() {
    const { item } = this;
    const words = lexicon();
    const options = { ...item.options, ...(item.redo.length ? { redo: item.redo } : {}), ...(Object.keys(words).length ? { lexicon: words } : {}) };
    return { voice: item.voice, cast: item.cast, format: item.format, texts: item.texts, options };
  }

  // Whether there is something that was not dubbed yet.
  isDue() {
    const { done, background } = this.item;
    return !done || spell(this.describe()) !== spell(done.request) || (background?.id ?? null) !== (done.background ?? null);
  }

  make() {
    const { item } = this;
    item.task = { ...newTask("dub", structuredClone(this.describe())), background: item.background?.id ?? null };
    this.open
      .save()
      .then(() => this.refresh())
      .then(() => this.open.look())
      .catch(fail);
  }

  // What the table of cues asks.
  spoken(cue) {
    return this.report.get(cue.cue) ?? null;
  }

  text(cue) {
    return this.item.texts[cue.cue] ?? cue.text;
  }

  isChanged(cue) {
    const { done, texts, redo, cast, voice } = this.item;
    if (!done) return false;
    const was = done.request;
    const times = (list) => (list ?? []).filter((number) => number === cue.number).length;
    const voiceOf = (one) => (cue.speaker && one.cast[cue.speaker]) || one.voice;
    return texts[cue.cue] !== was.texts[cue.cue] || times(redo) !== times(was.options.redo) || voiceOf({ cast, voice }) !== voiceOf(was);
  }

  play(cue) {
    const start = this.showing === "dubbed" ? (this.spoken(cue)?.start ?? cue.start) : cue.start;
    this.video.currentTime = start;
    this.video.play().catch(fail);
  }

  async edit(cue, text) {
    const { texts } = this.item;
    if (text === cue.text) delete texts[cue.cue];
    else texts[cue.cue] = text;
    await this.open.save();
    this.showWork();
  }

  redo(cue) {
    this.item.redo.push(cue.number);
    toast(`Cue ${cue.cue} is said in another way with the next dub.`);
    this.save();
  }
}

// The same text for the same values, in whatever order they were chosen.
const spell = (values) => JSON.stringify(values, (_, value) => (value && typeof value === "object" && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort()) : value));

const escape = (line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

function srtToVtt(srt) {
  const lines = srt.split("\n").map((line) => (line.includes("-->") ? line.replaceAll(",", ".") : escape(line)));
  return `WEBVTT\n\n${lines.join("\n")}`;
}

function cuesToVtt(cues) {
  const time = (second) => new Date(Math.round(second * 1000)).toISOString().slice(11, 23);
  return `WEBVTT\n\n${cues.map(({ start, end, text }) => `${time(start)} --> ${time(end)}\n${escape(text)}\n`).join("\n")}`;
}

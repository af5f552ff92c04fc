// One recording: its words, what changes in them, and the versions that were made.

import { get } from "./api.js";
import { announce, button, el, fail, field, iconButton, notice, shorten } from "./dom.js";
import { Open } from "./items.js";
import { fetchPart, isUnfinished, newTask } from "./jobs.js";
import { lexicon } from "./lexicon.js";
import { Player, readOutline } from "./media.js";
import { buildOptions } from "./options.js";
import { Version } from "./version.js";
import { WordEditor, describeChange } from "./words.js";

const FORMATS = { wav: "WAV", flac: "FLAC", mp3: "MP3", ogg: "Ogg Vorbis" };
const PAUSE = 0.5; // seconds that are proposed as the longest pause
const DOUBTFUL = 0.3; // share of words that were not heard from which the text seems to be another's

export async function showRecording(main, item, studio) {
  const voices = (await get("/v1/studio/voices")).data.filter((voice) => voice.usable).map((voice) => voice.name);
  const view = new RecordingView(main, item, { studio, voices });
  await view.begin();
  const onTheme = () => view.players.forEach((player) => player.paint());
  addEventListener("theme", onTheme);
  return () => {
    removeEventListener("theme", onTheme);
    view.close();
  };
}

class RecordingView {
  constructor(main, item, { studio, voices }) {
    Object.assign(this, { item, studio, voices });
    this.open = new Open("edit", item, { tasks: () => [item.align, ...item.versions].filter(Boolean), refresh: (task) => this.refresh(task) });
    this.player = new Player("the recording", { onsecond: (second, isPlaying) => this.editor?.light(second, isPlaying) });
    this.script = el("div", { class: "stack" });
    this.settings = el("div", {});
    this.versions = el("div", { class: "stack" });
    this.shown = new Map(); // versions by the keys of their tasks
    main.append(
      this.open.buildHead("Select words to replace, delete, or add to them.", "All recordings"),
      el(
        "div",
        { class: "stack" },
        el("section", { class: "card stack", "aria-label": "The recording" }, this.player.root, this.script),
        this.settings,
        this.versions,
      ),
    );
  }

  get players() {
    return [this.player, ...[...this.shown.values()].flatMap((version) => version.players)];
  }

  async begin() {
    const { recording } = await this.open.files();
    this.outline = await readOutline(recording);
    this.recording = recording;
    this.player.load(recording, this.outline);
    await this.receiveWords(); // they may have been found while the page was closed
    this.showVersions();
    this.open.look();
  }

  close() {
    this.open.close();
    this.players.forEach((player) => player.release());
  }

  refresh(task) {
    if (!task || task === this.item.align) this.receiveWords().catch(fail);
    this.showVersions();
  }

  async receiveWords() {
    const { item } = this;
    if (item.align?.state === "succeeded" && !item.words) {
      const found = await (await fetchPart(item.align)).json();
      Object.assign(item, { text: found.text, words: found.words, changes: [] });
      await this.open.save();
      announce("The words are there");
    }
    this.showScript();
  }

  showScript() {
    const { item } = this;
    if (item.words) {
      if (this.editor && this.shownWords === item.words) return;
      this.shownWords = item.words;
      this.showWords();
    } else if (isUnfinished(item.align)) {
      if (!this.open.runner.update(item.align)) this.script.replaceChildren(this.open.runner.show(item.align, "Of finding the words"));
    } else if (!this.script.querySelector("textarea") || item.align?.state === "failed") {
      this.showTextForm();
    }
    if (!item.words) this.settings.replaceChildren();
  }

  // What the recording says is typed, or recognized where the server can.
  showTextForm() {
    const { item } = this;
    const input = el("textarea", { rows: 6, maxlength: 200_000, spellcheck: "true", oninput: () => (item.text = input.value), onchange: () => this.open.save().catch(fail) });
    input.value = item.text;
    const find = (text) => {
      item.text = input.value;
      item.align = newTask("align", { ...(text ? { text } : {}), lexicon: lexicon() });
      this.start(item.align);
    };
    const findTyped = () => {
      if (input.value.trim()) return find(input.value.trim());
      note.replaceChildren(notice("warn", "Its words are missing", el("p", {}, "Write down what is said, word for word, with every um. Only words of the text can be changed.")));
      input.focus();
    };
    const note = el("div", { role: "alert" }, item.align?.error ? notice("bad", "The words could not be found", el("p", {}, item.align.error)) : null);
    const { recognizes } = this.studio;
    this.editor = null;
    this.script.replaceChildren(
      note,
      recognizes
        ? el("div", { class: "row" }, button("Recognize its words", { icon: "wave", kind: "primary", onclick: () => find(null) }), el("p", { class: "hint" }, "Fillers are mostly left out by the recognizer; add them to the text to remove them."))
        : "",
      field(recognizes ? "Or write down what it says" : "What does it say?", input, "Word for word, in English, with every um. Then each word gets its time."),
      el("div", { class: "actions start" }, button("Find the words", { icon: "check", kind: recognizes ? "" : "primary", onclick: findTyped })),
    );
  }

  start(task) {
    this.open
      .save()
      .then(() => this.refresh(task))
      .then(() => this.open.look())
      .catch(fail);
  }

  showWords() {
    const { item } = this;
    this.editor = new WordEditor(item, {
      onchange: () => this.changed(),
      onselect: (times) => this.player.setMarks(times ? [{ ...times, kind: "selected" }] : []),
      play: (from, until) => this.player.play(from, until).catch(fail),
    });
    const unheard = item.words.filter((word) => !word.is_heard);
    const shown = unheard.slice(0, 6).map((word) => `“${word.word}”`).join(", ") + (unheard.length > 6 ? " and others" : "");
    const isDoubtful = unheard.length > DOUBTFUL * item.words.length;
    this.script.replaceChildren(
      unheard.length
        ? notice(
            isDoubtful ? "bad" : "warn",
            isDoubtful ? "This text does not seem to be what the recording says" : `${unheard.length} ${unheard.length === 1 ? "word was" : "words were"} not heard in the recording`,
            el("p", {}, `${shown}. What was not heard cannot be changed: correct the text to what is said, word for word.`),
            button("Correct the text", { icon: "edit", kind: "small", onclick: () => this.correctText() }),
          )
        : "",
      this.editor.root,
    );
    this.showSettings();
  }

  correctText() {
    Object.assign(this.item, { words: null, align: null, changes: [] });
    this.showTextForm();
    this.settings.replaceChildren();
    this.open.save().catch(fail);
  }

  changed() {
    this.open.save().catch(fail);
    this.showChanges();
  }

  showSettings() {
    const { item, studio, voices } = this;
    if (!voices.includes(item.voice)) item.voice = voices[0] ?? null;
    const pick = (values, chosen, take) =>
      el("select", { onchange: (event) => { take(event.target.value); this.open.save().catch(fail); } }, Object.entries(values).map(([value, name]) => el("option", { value, selected: value === chosen }, name)));
    const take = () => {
      item.options = { ...tidying.values(), ...more.values() };
      this.changed();
    };
    const build = (left) => buildOptions(studio.edit_options, item.options, take, { left: ["seed", "lexicon", ...left], first: { shorten_pauses: PAUSE } });
    const tidying = build(["best_of"]);
    const fillers = item.words.filter((word) => word.is_filler).length;
    const filler = fillers ? `${fillers === 1 ? "One was" : `${fillers} were`} heard in it.` : "The text has none. To remove some, correct the text so that it has every um.";
    tidying.fields.find((one) => one.classList.contains("switch"))?.append(el("p", { class: "hint" }, filler));
    const more = build(["remove_fillers", "shorten_pauses"]);
    this.changes = el("div", {});
    this.action = button("Make the changes", { icon: "wave", kind: "primary", onclick: () => this.make() });
    this.settings.replaceChildren(
      el(
        "section",
        { class: "card stack", "aria-label": "What changes, and how" },
        this.changes,
        el("div", { class: "cast two" }, tidying.fields),
        el(
          "div",
          { class: "cast two above" },
          field("Voice", pick(Object.fromEntries(voices.map((name) => [name, name])), item.voice, (name) => (item.voice = name)), "It must be the voice in the recording: its owner's consent covers the new words."),
          field("File", pick(FORMATS, item.format, (format) => (item.format = format)), "In WAV and FLAC, all that is not changed stays the same to the last bit."),
        ),
        el("details", {}, el("summary", {}, "More options"), more.fields),
        el("div", { class: "row between" }, button("Correct the text", { kind: "quiet", onclick: () => this.correctText() }), this.action),
        voices.length ? null : notice("warn", "There is no voice yet", el("p", {}, "Make one of whoever speaks in the recording."), el("a", { class: "button", href: "#voices/new" }, "Make a voice")),
      ),
    );
    this.showChanges();
  }

  showChanges() {
    const { item } = this;
    const tidying = [item.options.remove_fillers ? "Fillers are removed" : "", item.options.shorten_pauses ? `Pauses last ${item.options.shorten_pauses} s at most` : ""].filter(Boolean);
    this.action.disabled = !this.voices.length || !(item.changes.length || tidying.length);
    this.changes.replaceChildren(
      el("h2", {}, item.changes.length ? `${item.changes.length} ${item.changes.length === 1 ? "change" : "changes"}` : "No word is changed yet"),
      el(
        "ul",
        { class: "changes" },
        item.changes.map((change) => {
          const text = describeChange(item.words, change);
          return el("li", {}, el("span", {}, text), iconButton(`Undo: ${shorten(text, 60)}`, "close", { onclick: () => this.editor.undo(change) }));
        }),
        tidying.map((text) => el("li", {}, el("span", {}, text))),
      ),
    );
  }

  make(more = {}, from = this.item) {
    const { voice, changes, format, options } = from;
    const words = lexicon();
    const chosen = { ...options, ...more, ...(Object.keys(words).length ? { lexicon: words } : {}) };
    const request = { voice, text: this.item.text, format, options: chosen, ...(changes.length ? { changes } : {}) };
    const task = newTask("edit", request);
    // The words as they were then: the text may be corrected later.
    task.summary = from.summary ?? [...changes.map((change) => describeChange(this.item.words, change)), ...(options.remove_fillers ? ["fillers removed"] : []), ...(options.shorten_pauses ? [`pauses of ${options.shorten_pauses} s at most`] : [])];
    task.number = this.item.versions.length + 1;
    this.item.versions.push(task);
    this.start(task);
    this.versions.firstElementChild?.scrollIntoView({ block: "nearest" });
  }

  // The same changes once more, with the new words said in another way.
  again(task) {
    const { voice, changes = [], format, options } = task.request;
    const seeds = this.item.versions.map((one) => one.request.options.seed ?? 0);
    this.make({ seed: Math.max(...seeds) + 1 }, { voice, changes, format, options, summary: task.summary });
  }

  showVersions() {
    const { item } = this;
    const newest = [...item.versions].reverse();
    for (const [key, version] of this.shown) {
      if (newest.some((task) => task.key === key)) continue;
      version.release();
      this.shown.delete(key);
    }
    const roots = newest.map((task) => {
      if (!this.shown.has(task.key)) this.shown.set(task.key, new Version(task, this));
      const version = this.shown.get(task.key);
      version.task = task;
      version.update();
      return version.root;
    });
    if (roots.some((root, index) => this.versions.children[index] !== root) || this.versions.childElementCount !== roots.length) this.versions.replaceChildren(...roots);
  }

  async removeVersion(task) {
    await this.open.runner.stop(task);
    this.item.versions = this.item.versions.filter((one) => one !== task);
    await this.open.save();
    this.showVersions();
  }
}

// Write and hear: a text, a voice, and the takes that were made of them.

import { events, get } from "./api.js";
import { announce, button, confirmAction, el, fail, field, formatDay, formatLength, icon, iconButton, shorten } from "./dom.js";
import { askPronunciation, lexicon, showLexicon } from "./lexicon.js";
import { buildOptions } from "./options.js";
import { Sound, prepare, stopAll } from "./player.js";
import { list, loadTake, newId, recallDraft, rememberDraft, removeTake, saveTake } from "./store.js";
import { TakeView } from "./take.js";

const CHARACTERS_PER_SECOND = 14;
const EXAMPLE = "The ferry leaves at half past seven. If you miss it, there is another one at nine, but it stops at every island on the way.";

export async function showWrite(main, { studio, path }) {
  const voices = (await get("/v1/studio/voices")).data.filter((voice) => voice.usable);
  if (!voices.length) {
    main.append(welcome(studio));
    return null;
  }
  const desk = new Desk(studio, voices, path[0]);
  main.append(desk.root);
  const onKey = (event) => desk.onKey(event);
  const onTheme = () => desk.view?.picture.paint();
  addEventListener("keydown", onKey);
  addEventListener("theme", onTheme);
  await desk.showHistory();
  return () => {
    desk.stop();
    removeEventListener("keydown", onKey);
    removeEventListener("theme", onTheme);
  };
}

function welcome(studio) {
  return el(
    "section",
    { class: "card empty" },
    icon("wave"),
    el("h1", {}, "Write it. Hear it in your own voice."),
    el("p", {}, "Record ten seconds of yourself, read a short text that says you agree, and this studio speaks whatever you write. Nothing leaves this server."),
    studio.scopes.includes("voices")
      ? el("a", { class: "button primary large", href: "#voices/new" }, icon("mic"), "Make your voice")
      : el("p", {}, "You have no voice yet, and your key does not let you make one. Ask whoever runs the server."),
  );
}

class Desk {
  constructor(studio, voices, wanted) {
    this.studio = studio;
    this.voices = voices;
    this.running = null; // aborts what is being spoken
    this.view = null;
    this.root = this.build(wanted);
  }

  build(wanted) {
    const draft = recallDraft({ text: EXAMPLE, speed: 1, seed: 0 });
    const names = this.voices.map((voice) => voice.name);
    const chosen = [wanted, draft.voice].find((name) => names.includes(name)) ?? names[0];
    this.voice = el("select", { onchange: () => this.keep() }, names.map((name) => el("option", { value: name, selected: name === chosen }, name)));
    this.paceShown = el("span", { class: "soft" });
    this.pace = el("input", { type: "range", min: 0.5, max: 2, step: 0.05, value: draft.speed, oninput: () => this.keep() });
    this.seed = el("input", { type: "number", min: 0, max: 999999, step: 1, value: draft.seed, onchange: () => this.keep() });
    this.options = buildOptions(this.studio.options, draft.more ?? {}, () => this.keep());
    this.text = el("textarea", { "aria-label": "What to say", placeholder: "What should it say?", maxlength: this.studio.max_characters, spellcheck: "true", oninput: () => this.keep() });
    this.text.value = draft.text;
    this.count = el("span", { class: "hint" });
    this.speakButton = button("Speak", { icon: "play", kind: "primary large", onclick: () => (this.running ? this.stop() : this.speak()) });
    this.result = el("div", {});
    this.history = el("div", {});
    this.more = el("div", { class: "more", id: "more", hidden: true }, field("Seed", this.seed, "Another number says it in another way."), this.options.fields);
    const moreButton = el("button", { type: "button", class: "button quiet", "aria-expanded": "false", "aria-controls": "more", onclick: () => {
      this.more.hidden = !this.more.hidden;
      moreButton.setAttribute("aria-expanded", String(!this.more.hidden));
    } }, "More");
    const paceField = field("Pace", this.pace);
    paceField.querySelector("label").append(" ", this.paceShown);
    const root = el(
      "div",
      { class: "stack" },
      el("h1", { class: "visually-hidden" }, "Write and hear"),
      el(
        "section",
        { class: "card composer", "aria-label": "What to say" },
        el("div", { class: "composer-bar" }, field("Voice", this.voice), paceField, moreButton),
        this.more,
        this.text,
        el("div", { class: "composer-foot" }, this.count, el("div", { class: "row" }, button("Pronunciations", { kind: "quiet", onclick: showLexicon }), this.speakButton)),
      ),
      this.result,
      this.history,
    );
    this.keep();
    return root;
  }

  keep() {
    const speed = Number(this.pace.value);
    this.paceShown.textContent = speed === 1 ? "as recorded" : `${speed.toFixed(2)}×`;
    this.pace.setAttribute("aria-valuetext", `${speed} times`);
    const length = this.text.value.trim().length;
    this.count.textContent = length ? `${length.toLocaleString()} characters, about ${formatLength(length / CHARACTERS_PER_SECOND / speed)}` : "Nothing written yet";
    rememberDraft({ text: this.text.value, voice: this.voice.value, speed, seed: Number(this.seed.value), more: this.options.values() });
  }

  onKey(event) {
    const typing = event.target.closest("input:not([type=range]), textarea, select, dialog, button, [role=button], a, summary, audio");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.speak();
    } else if (event.key === "Escape" && !event.target.closest("dialog")) {
      this.stop();
    } else if (event.key === " " && !typing && this.view) {
      event.preventDefault();
      this.view.toggle();
    }
  }

  stop() {
    this.running?.abort();
    stopAll();
  }

  request(changes = {}) {
    const words = lexicon();
    const seed = Math.max(0, Math.floor(Number(this.seed.value) || 0));
    return {
      input: this.text.value,
      voice: this.voice.value,
      speed: Number(this.pace.value),
      seed,
      ...this.options.values(),
      ...(Object.keys(words).length ? { lexicon: words } : {}),
      ...changes,
    };
  }

  // Speaks a request, and plays it from a sentence on as soon as that is there.
  async speak(request = this.request(), fromSentence = 1) {
    this.stop();
    if (!request.input.trim()) {
      this.text.focus();
      announce("Write something first");
      return;
    }
    const { input, voice, ...options } = request;
    const running = new AbortController();
    this.running = running;
    const take = { id: newId(), created: Date.now(), text: input, voice, options, words: [], sentences: [], skipped: [], complete: false, error: null };
    const { rate } = this.studio;
    const sound = new Sound(rate, () => {});
    prepare(rate);
    this.setSpeaking(true);
    try {
      await this.receive(take, sound, request, { running, fromSentence });
    } catch (error) {
      take.error = error.message;
      if (error.name !== "AbortError") fail(error);
    }
    sound.finish();
    if (this.running === running) {
      this.running = null;
      this.setSpeaking(false);
    }
    take.complete ||= Boolean(take.error);
    if (this.view?.take === take) this.view.update(); // words come before their sound
    if (sound.length && !running.signal.aborted) await this.save(take, sound);
  }

  async receive(take, sound, request, { running, fromSentence }) {
    let view = null;
    let started = false;
    const start = (second) => {
      started = true;
      sound.play(second).catch(fail);
    };
    for await (const event of events("/v1/studio/speech", request, running.signal)) {
      if (event.type === "start") {
        sound.rate = event.rate;
        take.rate = event.rate;
        view = this.show(take, sound);
      } else if (event.type === "audio") {
        sound.add(decode(event.pcm));
        if (!started && fromSentence === 1) start(0);
      } else if (event.type === "words") {
        take.words.push(...event.words);
      } else if (event.type === "sentences") {
        take.sentences.push(...event.sentences);
        const wanted = event.sentences.find((one) => one.number === fromSentence);
        if (!started && wanted) start(Math.max(0, wanted.start - 0.1));
      } else if (event.type === "skipped") {
        take.skipped.push(...event.skipped);
      } else if (event.type === "error") {
        throw new Error(event.error.message);
      } else if (event.type === "done") {
        Object.assign(take, { srt: event.srt, vtt: event.vtt, wordTimes: event.words, record: event.record, seconds: event.seconds });
        take.complete = true;
        sound.finish();
      }
      view?.update();
    }
  }

  setSpeaking(isSpeaking) {
    this.speakButton.querySelector("span").textContent = isSpeaking ? "Stop" : "Speak";
    this.speakButton.querySelector(".icon").replaceWith(icon(isSpeaking ? "stop" : "play"));
    if (isSpeaking) announce("Speaking");
  }

  show(take, sound) {
    if (this.view && this.view.sound !== sound) this.view.sound.onchange = () => {};
    this.view = new TakeView(take, sound, {
      redo: (number) => this.redo(take, number),
      edit: (sentence, text) => this.edit(take, sentence, text),
      correct: (word, number) => this.correct(take, word, number),
    });
    this.result.replaceChildren(this.view.root);
    this.showVersions(take).catch(fail);
    return this.view;
  }

  again(take, changes = {}) {
    return { input: take.text, voice: take.voice, ...take.options, ...changes };
  }

  redo(take, number) {
    this.speak(this.again(take, { redo: [...(take.options.redo ?? []), number] }), number);
  }

  edit(take, sentence, text) {
    const [start, end] = sentence.span;
    const input = take.text.slice(0, start) + text + take.text.slice(end);
    this.text.value = input;
    this.keep();
    this.speak(this.again(take, { input }), sentence.number);
  }

  async correct(take, word, number) {
    const bare = word.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");
    if (await askPronunciation(bare, (text, said) => this.sample(take, text, said))) {
      this.speak(this.again(take, { lexicon: lexicon() }), number);
    }
  }

  // Speaks one word as it would be said.
  async sample(take, word, said) {
    const request = { input: `${word}.`, voice: take.voice, seed: 0, ...(said ? { lexicon: { [word]: said } } : {}) };
    let sound = null;
    for await (const event of events("/v1/studio/speech", request)) {
      if (event.type === "start") sound = new Sound(event.rate, () => {});
      else if (event.type === "audio") sound.add(decode(event.pcm));
      else if (event.type === "error") throw new Error(event.error.message);
    }
    sound.finish();
    await sound.play(0);
  }

  // Also what ended early, unless somebody stopped it.
  async save(take, sound) {
    take.seconds ??= sound.seconds;
    try {
      await saveTake({ ...take, pcm: sound.pcm });
    } catch (error) {
      fail(error);
    }
    await this.showVersions(take);
    await this.showHistory();
  }

  // Takes of the same text in the same voice, side by side.
  async showVersions(take) {
    if (this.view?.take !== take) return;
    const same = (await list("takes")).filter((one) => one.text === take.text && one.voice === take.voice).reverse();
    if (this.view?.take !== take) return;
    const chips = same.map((one, index) =>
      el(
        "button",
        { type: "button", class: "button small", "aria-pressed": String(one.id === take.id), onclick: () => this.open(one.id, true), title: describeVersion(one) },
        icon("play"),
        `${index + 1}`,
        el("span", { class: "visually-hidden" }, `: ${describeVersion(one)}`),
      ),
    );
    const highest = Math.max(take.options.seed, ...same.map((one) => one.options.seed));
    const another = button("Another version", {
      icon: "plus",
      kind: "small",
      onclick: () => this.speak(this.again(take, { seed: highest + 1, redo: [] })),
    });
    this.view.versions.replaceChildren(el("div", { class: "chips" }, el("span", { class: "label" }, "Versions"), chips, another));
  }

  async open(id, play = false) {
    const take = await loadTake(id);
    if (!take) return fail(new Error("This take is not here any more."));
    this.stop();
    const sound = Sound.of(take.pcm, take.rate, () => {});
    this.show(take, sound);
    this.view.root.scrollIntoView({ block: "nearest" });
    if (play) sound.play(0).catch(fail);
  }

  async showHistory() {
    const takes = await list("takes").catch(() => []);
    if (!takes.length) return this.history.replaceChildren();
    const item = (take) =>
      el(
        "li",
        {},
        iconButton(`Play: ${shorten(take.text, 40)}`, "play", { onclick: () => this.open(take.id, true) }),
        el(
          "button",
          { type: "button", class: "open", onclick: () => { this.text.value = take.text; this.keep(); this.open(take.id); } },
          el("span", { class: "what" }, shorten(take.text)),
          el("span", { class: "hint" }, `${take.voice}, ${formatLength(take.seconds)}, ${formatDay(take.created)}`),
        ),
        iconButton(`Delete: ${shorten(take.text, 40)}`, "trash", { onclick: async () => { await removeTake(take.id); await this.showHistory(); } }),
      );
    const clear = async () => {
      if (!(await confirmAction("Delete the whole history?", "All takes that this browser keeps are deleted, with their sound.", "Delete all"))) return;
      for (const take of takes) await removeTake(take.id);
      await this.showHistory();
    };
    const shown = takes.slice(0, 20);
    this.history.replaceChildren(
      el(
        "section",
        { class: "card", "aria-labelledby": "history-title" },
        el("div", { class: "row between" }, el("h2", { id: "history-title" }, "History"), button("Delete all", { kind: "quiet small", onclick: () => clear().catch(fail) })),
        el("ul", { class: "history" }, shown.map(item)),
      ),
    );
  }
}

function describeVersion({ options }) {
  const parts = [`seed ${options.seed}`];
  if (options.speed && options.speed !== 1) parts.push(`${options.speed} times the pace`);
  if (options.redo?.length) parts.push(`sentence ${options.redo.join(", ")} said again`);
  return parts.join(", ");
}

function decode(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return new Int16Array(bytes.buffer);
}

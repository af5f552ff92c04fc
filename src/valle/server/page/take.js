// One take: what was spoken, to be heard, looked at, repaired and saved.

import { request } from "./api.js";
import {
  ask, button, download, el, fail, fileName, formatTime, icon, iconButton, relabel, shorten, toast,
} from "./dom.js";
import { Picture } from "./picture.js";
import { wavFile } from "./recorder.js";

const RATE = 14; // characters per second of speech, to guess how long it will be
const SHOWN = 1500; // characters of a text that are shown before they are spoken
const SOUNDS = ["mp3", "wav", "flac", "opus"];
const ENDINGS = { opus: "ogg" };

// `actions` has what the take cannot do itself: redo(number), edit(sentence, text), correct(word).
export class TakeView {
  constructor(take, sound, actions) {
    this.take = take;
    this.sound = sound;
    this.actions = actions;
    this.words = []; // {element, start, end}, in order
    this.lit = null;
    sound.onchange = (what, second) => this.follow(what, second);
    this.picture = new Picture((share) => this.sound.seek((share * this.picture.length) / sound.rate));
    this.root = this.build();
    this.update();
  }

  build() {
    const { take } = this;
    this.control = iconButton("Play", "play", { class: "round", onclick: () => this.toggle() });
    this.time = el("span", { class: "time" });
    this.slider = el("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0, "aria-label": "Position in seconds", oninput: () => this.sound.seek(Number(this.slider.value)) });
    this.status = el("p", {});
    this.sentences = el("div", { class: "sentences", role: "group", "aria-label": "What was spoken, word by word" });
    this.sentences.addEventListener("keydown", (event) => this.onKey(event));
    this.tools = el("div", { class: "word-tools", hidden: true });
    this.sentences.addEventListener("pointerdown", (event) => {
      if (!event.target.closest(".word")) this.tools.hidden = true;
    });
    this.skipped = el("div", { class: "skipped", hidden: true });
    this.versions = el("div", {});
    this.downloads = el("div", {});
    return el(
      "section",
      { class: "card take", "aria-label": "The speech" },
      el(
        "div",
        { class: "take-head" },
        this.control,
        el("div", { class: "take-title" }, el("h2", {}, shorten(take.text, 70)), this.status),
        this.time,
      ),
      this.picture.root,
      el("div", { class: "seek" }, this.slider),
      this.sentences,
      this.skipped,
      this.tools,
      el("div", { class: "take-foot" }, this.versions, this.downloads),
    );
  }

  // Called whenever more of the take is there.
  update() {
    const { take, sound } = this;
    this.picture.draw(sound, take.complete ? 0 : take.text.length / RATE / (take.options.speed ?? 1));
    this.slider.max = Math.max(sound.seconds, 0.01);
    this.time.textContent = `${formatTime(sound.second)} / ${formatTime(sound.seconds)}`;
    this.status.textContent = this.describe();
    this.showSentences();
    this.showSkipped();
    if (take.complete && sound.length && !this.downloads.childElementCount) this.showDownloads();
  }

  describe() {
    const { take } = this;
    const pace = take.options.speed && take.options.speed !== 1 ? `, ${take.options.speed}× pace` : "";
    const failed = take.sentences.filter((one) => !one.passed).length;
    const state = take.error
      ? "stopped early"
      : !take.complete
        ? "speaking…"
        : failed
          ? `${failed} ${failed === 1 ? "sentence needs" : "sentences need"} a look`
          : "all words heard in it";
    return `${take.voice}${pace}, seed ${take.options.seed} · ${state}`;
  }

  showSentences() {
    const { take } = this;
    const state = `${take.words.length}/${take.sentences.length}/${take.complete}`;
    if (state === this.shown) return;
    this.shown = state;
    const focused = this.words.findIndex((word) => word.element === document.activeElement);
    // What is finished is built once, and once more when all of it can be repaired.
    if (this.built?.complete !== take.complete) {
      this.built = { complete: take.complete, count: 0, words: [] };
      this.sentences.replaceChildren();
    } else {
      this.pending?.remove();
    }
    const { built } = this;
    while (built.count < take.sentences.length) {
      const row = this.buildSentence(take.sentences[built.count++]);
      this.sentences.append(row);
      built.words.push(...collectWords(row));
    }
    this.pending = this.buildPending();
    if (this.pending) this.sentences.append(this.pending);
    this.words = [...built.words, ...(this.pending ? collectWords(this.pending) : [])];
    this.lit = null;
    const entry = this.words[Math.max(0, focused)]?.element;
    if (entry) entry.tabIndex = 0;
    if (focused >= 0) entry?.focus();
    this.light(this.sound.second);
  }

  showSkipped() {
    const { skipped = [] } = this.take; // of takes that were kept by an earlier version, nothing is known
    if (skipped.length === this.skipped.childElementCount) return;
    this.skipped.hidden = false;
    this.skipped.replaceChildren(...skipped.map(({ text, why }) => el("p", { class: "hint" }, `Not spoken: “${shorten(text, 60)}” (${why})`)));
  }

  // What is not finished yet: of a long text, its beginning.
  buildPending() {
    const { take } = this;
    const rest = take.sentences.at(-1)?.span[1] ?? 0;
    const coming = take.complete && !take.error ? "" : take.text.slice(rest).trim();
    if (!coming) return null;
    const start = take.text.indexOf(coming, rest);
    const spoken = take.words.findLast((word) => word.span)?.span[1] ?? 0;
    const end = Math.max(start, spoken) + SHOWN;
    return el(
      "div",
      { class: "sentence pending" },
      el("span", { class: "mark" }, take.error ? null : el("span", { class: "spinner" })),
      el("p", { class: "sentence-text" }, this.buildWords(start, Math.min(end, take.text.length)), end < take.text.length ? "…" : null),
    );
  }

  buildSentence(sentence) {
    const { passed, missing, repeated, number, span } = sentence;
    const faults = [
      missing.length ? `not heard: ${missing.join(", ")}` : "",
      repeated.length ? `said twice: ${repeated.join(", ")}` : "",
    ].filter(Boolean);
    const label = passed ? `Sentence ${number} was checked` : `Sentence ${number} has a fault`;
    return el(
      "div",
      { class: `sentence ${passed ? "" : "failed"}`, data: { number } },
      el("span", { class: "mark", role: "img", "aria-label": label, title: label }, icon(passed ? "check" : "alert")),
      el(
        "p",
        { class: "sentence-text" },
        this.buildWords(...span),
        passed ? null : el("span", { class: "sentence-note" }, `The check says ${faults.join("; ")}. Listen to it, and say it again if it is wrong.`),
      ),
      el(
        "div",
        { class: "sentence-tools" },
        iconButton(`Play sentence ${number}`, "play", { onclick: () => this.sound.play(sentence.start, sentence.end + 0.15).catch(fail) }),
        this.take.complete && this.actions
          ? [
              iconButton(`Say sentence ${number} in another way`, "redo", { onclick: () => this.actions.redo(number) }),
              iconButton(`Change the words of sentence ${number}`, "edit", { onclick: () => this.editSentence(sentence) }),
            ]
          : null,
      ),
    );
  }

  // The text from `from` to `to`, with its spoken words as buttons.
  buildWords(from, to) {
    const { text, words, options } = this.take;
    const parts = [];
    let at = from;
    for (const word of words) {
      if (!word.span || word.span[0] < at || word.span[1] > to) continue;
      const [start, end] = word.span;
      if (start > at) parts.push(text.slice(at, start));
      const spelled = text.slice(start, end);
      const changed = options.lexicon && Object.keys(options.lexicon).some((one) => one.toLowerCase() === spelled.toLowerCase());
      parts.push(
        el(
          // Not a button element: a sign after it would be wrapped to the next line.
          "span",
          {
            role: "button",
            class: `word ${changed ? "changed" : ""}`,
            tabindex: -1,
            data: { start: word.start, end: word.end },
            onclick: (event) => this.choose(event.currentTarget, true),
          },
          spelled,
        ),
      );
      at = end;
    }
    parts.push(text.slice(at, to));
    return parts;
  }

  choose(element, play) {
    for (const { element: other } of this.words) other.tabIndex = other === element ? 0 : -1;
    element.focus();
    if (play) this.sound.play(Number(element.dataset.start)).catch(fail);
    if (!this.actions) return;
    const box = element.getBoundingClientRect();
    this.tools.replaceChildren(
      button("Say it differently", { icon: "edit", kind: "small", onclick: () => this.correct(element) }),
    );
    this.tools.hidden = false;
    const width = this.tools.offsetWidth;
    this.tools.style.left = `${Math.max(8, Math.min(box.left, innerWidth - width - 16)) + scrollX}px`;
    this.tools.style.top = `${box.bottom + 6 + scrollY}px`;
  }

  correct(element) {
    this.tools.hidden = true;
    this.actions.correct(element.textContent.trim(), Number(element.closest(".sentence").dataset.number) || 1);
  }

  onKey(event) {
    const at = this.words.findIndex((word) => word.element === event.target);
    if (at < 0) return;
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -at, End: this.words.length - 1 - at }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const next = this.words[at + step];
      if (next) this.choose(next.element, false);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(event.target, true);
    } else if (event.key === "Escape") {
      this.tools.hidden = true;
    } else if (event.key.toLowerCase() === "p" && this.actions) {
      event.preventDefault();
      this.correct(event.target);
    }
  }

  async editSentence(sentence) {
    const text = await ask(`Sentence ${sentence.number}`, (close) => {
      const input = el("textarea", { rows: 3, "aria-label": "Its words" });
      input.value = sentence.text;
      return el(
        "form",
        {
          onsubmit: (event) => {
            event.preventDefault();
            close(input.value.trim());
          },
        },
        input,
        el("p", { class: "hint" }, "The other sentences stay as they are, to the last sample, as long as their number stays the same."),
        el("div", { class: "actions" }, button("Cancel", { onclick: () => close() }), el("button", { class: "button primary" }, "Speak it")),
      );
    });
    if (text && text !== sentence.text) this.actions.edit(sentence, text);
  }

  toggle() {
    if (this.sound.isPlaying) this.sound.pause();
    else this.sound.play().catch(fail);
  }

  follow(what, second) {
    const isPlaying = this.sound.isPlaying;
    if (isPlaying !== this.wasPlaying) {
      relabel(this.control, isPlaying ? "Pause" : "Play", isPlaying ? "pause" : "play");
      this.wasPlaying = isPlaying;
    }
    this.slider.value = second;
    this.slider.setAttribute("aria-valuetext", `${second.toFixed(1)} seconds`);
    this.time.textContent = `${formatTime(second)} / ${formatTime(this.sound.seconds)}`;
    this.picture.move(second);
    this.light(what === "ended" ? -1 : second);
  }

  light(second) {
    let low = 0;
    let high = this.words.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.words[middle].start <= second) low = middle + 1;
      else high = middle - 1;
    }
    const word = this.words[high];
    const lit = word && second < word.end + 0.05 && (this.sound.isPlaying || second > 0) ? word.element : null;
    if (lit === this.lit) return;
    this.lit?.classList.remove("spoken");
    lit?.classList.add("spoken");
    this.lit = lit;
  }

  showDownloads() {
    const { take } = this;
    const save = (label, name, work) =>
      el("button", { type: "button", class: "button small", "aria-label": `Download ${name}`, onclick: () => work().catch(fail) }, label);
    const sounds = SOUNDS.map((format) => save(format.toUpperCase(), `the sound as ${format.toUpperCase()}`, () => this.saveSound(format)));
    const text = (content, ending, type) => async () => download(content, fileName(take.text, ending), type);
    const timed = take.error
      ? []
      : [
          save("SRT", "subtitles as SRT", text(take.srt, "srt", "application/x-subrip")),
          save("VTT", "subtitles as WebVTT", text(take.vtt, "vtt", "text/vtt")),
          save("Words", "the words with their times as JSON", text(take.wordTimes, "json", "application/json")),
        ];
    this.downloads.replaceChildren(
      el(
        "div",
        { class: "chips" },
        el("span", { class: "label" }, "Download"),
        sounds,
        timed,
      ),
    );
  }

  async saveSound(format) {
    const { pcm, rate } = this.sound;
    const name = fileName(this.take.text, ENDINGS[format] ?? format);
    if (format === "wav") return download(wavFile(pcm, rate), name);
    toast(`Making ${format.toUpperCase()}…`);
    const answer = await request(`/v1/studio/encodings?format=${format}`, { method: "POST", body: new Blob([pcm]) });
    download(await answer.blob(), name);
    toast(`${name} is saved.`);
  }
}

function collectWords(row) {
  return [...row.querySelectorAll(".word")].map((element) => ({ element, start: Number(element.dataset.start), end: Number(element.dataset.end) }));
}

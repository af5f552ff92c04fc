// What becomes of a film's own sound: kept, lowered or left out; which of its tracks it is; music and
// effects that take its place.

import { dropZone, el, fail, field, iconButton, icon, notice, toast } from "./dom.js";
import { describeSound, readSounds } from "./film-tracks.js";
import { newId } from "./store.js";

const ORIGINALS = { keep: "Keep it as a second track", duck: "Lower it under the speech", replace: "Leave it out" };
const BACKGROUNDS = [".wav", ".flac", ".mp3", ".ogg", ".m4a"]; // what the server takes
const NAMES = ["original", "duck", "track"]; // of the options that are chosen here

export class SoundChoice {
  // `view` has item, studio, open, and save().
  constructor(view) {
    this.view = view;
    this.sounds = null; // of the film, where its format is known
    this.root = el("div", { class: "stack" });
    this.show();
  }

  // The options that are chosen here.
  get options() {
    const { options } = this.view.item;
    return Object.fromEntries(NAMES.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]));
  }

  async look(film) {
    this.sounds = await readSounds(film);
    this.show();
  }

  choose(name, value) {
    const { options } = this.view.item;
    if (value === "") delete options[name];
    else options[name] = value;
    this.view.save();
  }

  show() {
    this.duck = this.buildDuck();
    this.root.replaceChildren(this.buildOriginal(), this.duck, this.buildTrack() ?? "", this.buildBackground());
  }

  buildOriginal() {
    const { item, studio } = this.view;
    const chosen = item.options.original ?? studio.dub_options.properties.original.default;
    const build = ([value, name]) => {
      const id = `original-${value}`;
      const onchange = () => {
        this.duck.hidden = value !== "duck";
        this.choose("original", value);
      };
      const isTaken = value === "duck" && Boolean(item.background); // its place
      const input = el("input", { type: "radio", name: "original", id, value, checked: value === chosen, disabled: isTaken, onchange });
      return el("label", { class: "tick", for: id }, input, el("span", {}, isTaken ? `${name}: not with music of your own` : name));
    };
    return el("fieldset", { class: "choices" }, el("legend", { class: "label" }, "Original sound"), Object.entries(ORIGINALS).map(build));
  }

  buildDuck() {
    const { item, studio } = this.view;
    const { minimum, maximum, default: usual } = studio.dub_options.properties.duck;
    const shown = el("output", { class: "soft" });
    const input = el("input", { type: "range", min: minimum, max: maximum, step: 1, value: item.options.duck ?? usual, oninput: () => show(), onchange: () => this.choose("duck", Number(input.value)) });
    const show = () => (shown.textContent = `${input.value} dB`);
    show();
    const built = field("Lower it by", input);
    built.prepend(el("div", { class: "row between" }, built.querySelector("label"), shown));
    built.hidden = item.options.original !== "duck";
    return built;
  }

  // Which track is the original; there is nothing to choose in a film that has one.
  buildTrack() {
    const chosen = this.view.item.options.track ?? "";
    const label = "Track of the original";
    if (this.sounds && this.sounds.length < 2 && !chosen) return null;
    if (this.sounds?.length) {
      const onchange = (event) => this.choose("track", event.target.value);
      const build = (sound, index) => el("option", { value: String(index + 1), selected: chosen === String(index + 1) }, describeSound(sound, index + 1));
      return field(label, el("select", { onchange }, el("option", { value: "" }, "The film's default"), this.sounds.map(build)));
    }
    const onchange = (event) => this.choose("track", event.target.value.trim());
    return field(label, el("input", { value: chosen, maxlength: 35, autocomplete: "off", placeholder: "The film's default", onchange }), "A language as the film says it, such as deu, or a number from 1.");
  }

  buildBackground() {
    const { item } = this.view;
    const label = "Drop music and effects here, or choose them";
    this.note = el("div", { role: "alert" });
    return el(
      "div",
      { class: "choices" },
      el("p", { class: "label" }, "Music and effects of your own"),
      item.background
        ? el("div", { class: "given" }, icon("check"), el("span", {}, item.background.name), iconButton(`Leave out ${item.background.name}`, "close", { onclick: () => this.setBackground(null).catch(fail) }))
        : dropZone(label, "Without speech, to be under the new one; WAV, FLAC, MP3, OGG or M4A", BACKGROUNDS.join(","), (file) => this.take(file)),
      this.note,
    );
  }

  take(file) {
    const { studio } = this.view;
    const refuse = (text) => this.note.replaceChildren(notice("bad", "This file cannot be used", el("p", {}, text)));
    if (!BACKGROUNDS.some((ending) => file.name.toLowerCase().endsWith(ending))) return refuse("Music and effects are a WAV, FLAC, MP3, OGG or M4A file.");
    if (file.size > studio.max_job_upload) return refuse(`This server takes ${Math.round(studio.max_job_upload / 2 ** 20)} MB at most.`);
    this.setBackground(file).catch(fail);
  }

  async setBackground(file) {
    const { item, open } = this.view;
    await open.setAdded(file ? { background: file } : {});
    item.background = file ? { id: newId(), name: file.name } : null;
    if (file && item.options.original === "duck") {
      item.options.original = "keep";
      toast("The original is kept as a second track: your music and effects are under the speech in its place.");
    }
    this.view.save();
    this.show();
    this.root.querySelector(".drop input, .given button").focus();
  }
}

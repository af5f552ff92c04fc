// How words are said: corrected where they stand, kept in this browser, used in all that is spoken.

import { ask, button, el, fail, field, iconButton } from "./dom.js";
import { recall, remember } from "./store.js";

export const lexicon = () => recall("lexicon", {});

export function setWord(word, said) {
  const words = lexicon();
  const known = Object.keys(words).find((one) => one.toLowerCase() === word.toLowerCase());
  if (known) delete words[known];
  if (said) words[word] = said;
  remember("lexicon", words);
}

// Asks how a word is said; `listen` speaks it. Returns whether something was changed.
export function askPronunciation(word, listen) {
  const known = Object.entries(lexicon()).find(([one]) => one.toLowerCase() === word.toLowerCase())?.[1] ?? "";
  return ask(`How is “${word}” said?`, (close) => {
    const input = el("input", { value: known, maxlength: 120, autocomplete: "off", autocapitalize: "off", spellcheck: "false", placeholder: "for Nguyen: win" });
    const heard = el("p", { class: "hint", role: "status" });
    const hear = button("Hear it", {
      icon: "play",
      onclick: async () => {
        hear.disabled = true;
        heard.textContent = "Speaking…";
        try {
          await listen(word, input.value.trim());
          heard.textContent = "";
        } catch (error) {
          heard.textContent = error.message;
        }
        hear.disabled = false;
      },
    });
    return el(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          const said = input.value.trim();
          setWord(word, said);
          close(said !== known);
        },
      },
      field("Say it like", input, "Spell it as it sounds, with ordinary words or syllables. Those who know IPA can write it between slashes: /nwɪn/."),
      heard,
      el(
        "div",
        { class: "actions" },
        known ? button("Forget", { kind: "quiet", onclick: () => { setWord(word, ""); close(true); } }) : null,
        hear,
        el("button", { class: "button primary" }, "Use it"),
      ),
    );
  });
}

// All words that were corrected, to be forgotten again.
export function showLexicon() {
  return ask("Pronunciations", () => {
    const place = el("div", {});
    const show = () => {
      const words = Object.entries(lexicon());
      place.replaceChildren(
        words.length
          ? el("ul", { class: "history" }, words.map(([word, said]) =>
              el("li", {}, el("span", { class: "open" }, el("strong", {}, word), ` is said like “${said}”`), iconButton(`Forget ${word}`, "trash", { onclick: () => { setWord(word, ""); show(); } }))))
          : el("p", { class: "soft" }, "None yet. Choose a word in what was spoken, then “Say it differently”."),
      );
    };
    try {
      show();
    } catch (error) {
      fail(error);
    }
    return place;
  });
}

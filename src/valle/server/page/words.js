// The words of a recording: selected by pointer or keys, and changed as a text is in a word processor.

import { announce, button, el, formatTenths, iconButton } from "./dom.js";

const quote = (text) => `“${text}”`;
const bare = (word) => word.toLowerCase().replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");
const split = (text) => text.split(/\s+/).map(bare).filter(Boolean);

// Puts a change among others: what overlaps it is replaced by it, what touches it becomes one with it.
export function addChange(changes, added) {
  let change = added;
  const others = [];
  for (const other of changes) {
    const overlaps = other.first < change.last && other.last > change.first;
    const isSame = other.first === change.first && other.last === change.last;
    if (overlaps || isSame) {
      const isInside = change.first === change.last && !isSame; // what is added within new words comes after them
      change = { first: Math.min(other.first, change.first), last: Math.max(other.last, change.last), text: isInside ? `${other.text} ${change.text}`.trim() : change.text };
    } else if (other.last === change.first) {
      change = { first: other.first, last: change.last, text: `${other.text} ${change.text}`.trim() };
    } else if (other.first === change.last) {
      change = { first: change.first, last: other.last, text: `${change.text} ${other.text}`.trim() };
    } else {
      others.push(other);
    }
  }
  return [...others, change].sort((a, b) => a.first - b.first);
}

export function describeChange(words, { first, last, text }) {
  const old = words.slice(first, last).map((word) => word.word).join(" ");
  if (!old) return `${quote(text)} after ${quote(words[first - 1].word)}`;
  return text ? `${quote(old)} becomes ${quote(text)}` : `${quote(old)} is removed`;
}

export class WordEditor {
  // `item` has text, words and changes; `onchange` is called after a change of these, `onselect` with
  // the seconds that are selected or null, `play` with a range of seconds.
  constructor(item, { onchange, onselect, play }) {
    Object.assign(this, { item, onchange, onselect, play });
    this.anchor = this.focus = null;
    this.text = el("div", { class: "script", role: "group", "aria-label": "The words of the recording" });
    this.text.addEventListener("pointerdown", (event) => this.onPointer(event));
    this.text.addEventListener("keydown", (event) => this.onKey(event));
    this.tools = el("div", { class: "row word-actions", role: "toolbar", "aria-label": "Change the selected words" });
    this.panel = el("div", {});
    this.found = el("span", { class: "hint", role: "status" });
    this.search = el("input", {
      type: "search",
      "aria-label": "Find words",
      placeholder: "Find words",
      oninput: () => this.find(false),
      onkeydown: (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault();
        this.find(true);
      },
    });
    this.root = el(
      "div",
      { class: "stack" },
      el("div", { class: "find" }, this.search, this.found),
      this.text,
      this.tools,
      this.panel,
    );
    this.show();
  }

  get selection() {
    if (this.anchor === null) return null;
    return { first: Math.min(this.anchor, this.focus), last: Math.max(this.anchor, this.focus) + 1 };
  }

  show() {
    const { text, words, changes } = this.item;
    const parts = [];
    let at = 0;
    let removed = null; // the element of words that are removed
    const add = (part) => (removed ? removed.append(part) : parts.push(part));
    this.elements = [];
    for (let index = 0; index <= words.length; index++) {
      const ended = changes.find((change) => change.last === index && (change.first < index || change.first === change.last));
      if (ended) {
        removed = null;
        if (ended.text) parts.push(" ", this.buildAdded(ended));
      }
      if (index === words.length) break;
      const word = words[index];
      add(text.slice(at, word.text_start));
      const begun = changes.find((change) => change.first === index && change.last > index);
      if (begun) {
        removed = el("del", {});
        parts.push(removed);
      }
      const element = this.buildWord(word, index);
      add(element);
      this.elements.push(element);
      at = word.text_end;
    }
    parts.push(text.slice(at));
    this.text.replaceChildren(...parts);
    this.select(this.anchor, this.focus, false);
  }

  buildWord(word, index) {
    const why = !word.is_heard ? "not heard in the recording" : word.is_filler ? "a filler" : "";
    const kind = !word.is_heard ? "unheard" : word.is_filler ? "filler" : "";
    return el(
      "span",
      { role: "button", class: `word ${kind}`, tabindex: -1, "aria-pressed": "false", data: { index }, title: why || null },
      word.word,
      why ? el("span", { class: "visually-hidden" }, ` (${why})`) : null,
    );
  }

  buildAdded(change) {
    return el(
      "ins",
      {},
      el("button", { type: "button", class: "added", "aria-label": `Change ${quote(change.text)}, the new words`, onclick: () => this.open(change, "text") }, change.text),
    );
  }

  onPointer(event) {
    const at = this.indexAt(event);
    if (at === null) return;
    const isExtended = event.shiftKey && this.anchor !== null;
    this.select(isExtended ? this.anchor : at, at);
    const move = (moved) => {
      const under = this.indexAt(moved);
      if (under !== null && under !== this.focus) this.select(this.anchor, under);
    };
    if (event.pointerType === "mouse") {
      event.preventDefault(); // or the browser selects the text
      addEventListener("pointermove", move);
      addEventListener("pointerup", () => removeEventListener("pointermove", move), { once: true });
    }
  }

  indexAt(event) {
    const word = document.elementFromPoint(event.clientX, event.clientY)?.closest(".word");
    return word && this.text.contains(word) ? Number(word.dataset.index) : null;
  }

  onKey(event) {
    if (!event.target.closest(".word") || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.elements.length - 1;
    const at = this.focus ?? Number(event.target.dataset.index);
    const targets = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last };
    const actions = { Enter: () => this.begin("replace"), r: () => this.begin("replace"), i: () => this.begin("insert"), Delete: () => this.remove(), Backspace: () => this.remove(), " ": () => this.hear(), Escape: () => this.select(null, null) };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in targets) {
      const to = Math.max(0, Math.min(last, targets[key]));
      this.select(event.shiftKey ? (this.anchor ?? at) : to, to);
    } else if (key in actions) {
      if (this.anchor === null && key !== "Escape") this.select(at, at);
      actions[key]();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  select(anchor, focus, moves = true) {
    this.anchor = anchor;
    this.focus = focus;
    const selection = this.selection;
    this.elements.forEach((element, index) => {
      const isIn = selection !== null && index >= selection.first && index < selection.last;
      element.setAttribute("aria-pressed", String(isIn));
      element.tabIndex = index === (focus ?? 0) ? 0 : -1;
    });
    if (moves && focus !== null) this.elements[focus].focus();
    if (moves) this.panel.replaceChildren();
    this.showTools();
    const times = this.times();
    this.onselect(times);
    if (selection && moves) announce(`${quote(this.words(selection))} selected${times ? `, ${formatTenths(times.start)}` : ", not heard"}`);
  }

  words({ first, last }) {
    return this.item.words.slice(first, last).map((word) => word.word).join(" ");
  }

  // When the selected words are said, or null.
  times() {
    const selection = this.selection;
    const said = selection ? this.item.words.slice(selection.first, selection.last).filter((word) => word.start !== null) : [];
    return said.length ? { start: said[0].start, end: said.at(-1).end } : null;
  }

  hear() {
    const times = this.times();
    if (times) this.play(times.start - 0.05, times.end + 0.05);
  }

  changeAt(selection) {
    return this.item.changes.find((change) => (change.first < selection.last && change.last > selection.first) || (change.first === change.last && change.first === selection.last));
  }

  showTools() {
    const selection = this.selection;
    if (!selection) {
      this.tools.replaceChildren(el("p", { class: "hint" }, "Select words to change them: click a word, drag over several, or use ← and → with Shift."));
      return;
    }
    const unheard = this.item.words.slice(selection.first, selection.last).filter((word) => !word.is_heard);
    const change = this.changeAt(selection);
    const act = (label, name, work, more = {}) => button(label, { icon: name, kind: "small", onclick: work, ...more });
    this.tools.replaceChildren(
      act("Replace", "edit", () => this.begin("replace"), { disabled: unheard.length > 0 }),
      act("Delete", "trash", () => this.remove(), { disabled: unheard.length > 0 }),
      act("Insert after", "plus", () => this.begin("insert"), { disabled: unheard.length > 0 }),
      act("Hear", "play", () => this.hear(), { disabled: !this.times() }),
      act("One word more", "plus", () => this.select(this.anchor, Math.min(this.elements.length - 1, this.focus + 1)), { disabled: selection.last >= this.elements.length }),
      change ? act("Undo this change", "back", () => this.undo(change)) : "",
      unheard.length
        ? el("p", { class: "hint bad" }, `${unheard.map((word) => quote(word.word)).join(", ")} ${unheard.length === 1 ? "was" : "were"} not heard in the recording. Correct the text to what is said there, word for word; then it can be changed.`)
        : "",
    );
  }

  begin(what) {
    const selection = this.selection;
    if (!selection || this.item.words.slice(selection.first, selection.last).some((word) => !word.is_heard)) return;
    const change = what === "insert" ? { first: selection.last, last: selection.last, text: "" } : { ...selection, text: "" };
    this.open(this.item.changes.find((one) => one.first === change.first && one.last === change.last) ?? change, what);
  }

  // Asks for the new words of a change.
  open(change, what) {
    const old = this.words(change);
    const label = old ? `Say this instead of ${quote(old)}` : `Say this after ${quote(this.item.words[change.first - 1].word)}`;
    const input = el("input", { value: change.text || (what === "replace" ? old : ""), maxlength: 2000, autocomplete: "off", spellcheck: "true" });
    input.id = "new-words";
    const finish = (focus = change.last - 1) => {
      this.panel.replaceChildren();
      this.elements[Math.max(0, focus)]?.focus();
    };
    const note = el("p", { class: "hint bad", role: "alert" });
    this.panel.replaceChildren(
      el(
        "form",
        {
          class: "field new-words",
          onkeydown: (event) => {
            if (event.key !== "Escape") return;
            event.stopPropagation();
            finish();
          },
          onsubmit: (event) => {
            event.preventDefault();
            const text = input.value.trim();
            const wanted = split(text);
            if (!wanted.length) note.textContent = old ? "There are no words here. To remove the words, press Delete." : "There are no words here. Write what is to be said.";
            else if (wanted.join(" ") === split(old).join(" ")) note.textContent = "These are the same words as before. Write others.";
            else {
              this.apply({ ...change, text });
              finish();
            }
          },
        },
        el("label", { for: input.id }, label),
        el("div", { class: "row" }, input, el("button", { class: "button primary" }, old ? "Replace" : "Insert"), button("Cancel", { kind: "quiet", onclick: () => finish() })),
        note,
      ),
    );
    input.focus();
    input.select();
  }

  remove() {
    const selection = this.selection;
    if (!selection || this.item.words.slice(selection.first, selection.last).some((word) => !word.is_heard)) return;
    if (selection.last - selection.first === this.item.words.length) return announce("Something must stay of the recording");
    this.apply({ ...selection, text: "" });
    this.elements[this.focus].focus();
  }

  apply(change) {
    this.item.changes = addChange(this.item.changes, change);
    this.show();
    announce(describeChange(this.item.words, change));
    this.onchange();
  }

  undo(change) {
    this.item.changes = this.item.changes.filter((one) => one !== change);
    this.show();
    this.onchange();
  }

  // Looks for words; where they occur several times, says so, and goes from place to place.
  find(isNext) {
    const wanted = split(this.search.value);
    if (!wanted.length) return (this.found.textContent = "");
    const known = this.item.words.map((word) => bare(word.word));
    const places = known.map((_, at) => at).filter((at) => wanted.every((word, offset) => known[at + offset] === word));
    if (!places.length) {
      const missing = wanted.find((word) => !known.includes(word));
      this.found.textContent = missing ? `${quote(missing)} is not in the text. Look at how it is written there.` : "These words are in the text, but do not follow each other.";
      return;
    }
    const here = places.indexOf(this.selection?.first ?? -1);
    const next = isNext ? (here + 1) % places.length : 0;
    this.select(places[next], places[next] + wanted.length - 1, false);
    this.elements[places[next]].scrollIntoView({ block: "nearest" });
    const word = this.item.words[places[next]];
    const time = word.start === null ? "not heard" : `at ${formatTenths(word.start)}`;
    this.found.textContent = places.length === 1 ? `Selected, ${time}.` : `There are ${places.length} places. This is number ${next + 1}, ${time}; press Enter for the next one.`;
  }

  // Lights the word that is heard.
  light(second, isPlaying) {
    const { words } = this.item;
    const at = isPlaying ? words.findIndex((word) => word.start !== null && second >= word.start && second < word.end) : -1;
    const lit = this.elements[at] ?? null;
    if (lit === this.lit) return;
    this.lit?.classList.remove("spoken");
    lit?.classList.add("spoken");
    this.lit = lit;
  }
}

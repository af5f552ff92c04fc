// The cues of a film: when, who, what, how fast, and whether it fits; their texts can be changed.

import { button, el, fail, formatTenths, icon, iconButton } from "./dom.js";

const NOTED = 0.05; // seconds that are worth a word
const FASTER = 1.02; // times the usual rate from which on it is heard

const isFast = (spoken) => spoken.rate > FASTER;
const isLate = (spoken) => spoken.late > NOTED;
const isSpilled = (spoken) => spoken.fits && spoken.spilled > NOTED;

function needsLook(spoken) {
  return !spoken.fits || isLate(spoken) || spoken.missing.length > 0 || spoken.repeated.length > 0;
}

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

// What is shown of how a cue fits: [kind, text, advice].
function describeFit(spoken, isChanged) {
  if (isChanged) return ["new", "changed", "It is spoken with the next dub."];
  if (!spoken) return ["", "not spoken yet", ""];
  if (!spoken.fits) {
    return ["bad", `${spoken.excess.toFixed(1)} s too long`, `Shorten it by ${plural(spoken.shorten_syllables, "syllable")}, about ${plural(spoken.shorten_characters, "character")}.`];
  }
  const { missing, repeated } = spoken;
  if (missing.length || repeated.length) {
    const what = [missing.length ? `not heard: ${missing.join(", ")}` : "", repeated.length ? `said twice: ${repeated.join(", ")}` : ""].filter(Boolean).join("; ");
    return ["warn", "listen to it", `By the check, ${what}. Say it in another way if it is wrong.`];
  }
  if (isLate(spoken)) return ["warn", `${spoken.late.toFixed(1)} s late`, "The cue before it is too long."];
  if (isSpilled(spoken)) return ["good", "spills", `It runs ${spoken.spilled.toFixed(1)} s into the gap after it.`];
  return ["good", "fits", ""];
}

export class CueTable {
  // `view` has spoken(cue) and isChanged(cue), text(cue); and what can be done: play(cue), edit(cue,
  // text), redo(cue).
  constructor(cues, view) {
    this.view = view;
    this.rows = cues.map((cue) => ({ cue, element: el("tr", {}) }));
    this.onlyLook = el("input", { type: "checkbox", id: "only-look", onchange: () => this.update() });
    this.summary = el("p", { class: "soft", role: "status" });
    this.filter = el("label", { class: "tick", for: "only-look" }, this.onlyLook, el("span", {}, "Only those that need a look"));
    this.hasSpeakers = cues.some((cue) => cue.speaker);
    const head = ["Time", this.hasSpeakers ? "Speaker" : null, "Text", "Rate", "Fit"].filter(Boolean);
    this.scroll = el(
      "div",
      { class: "cues-scroll" },
      el(
        "table",
        { class: `cues ${this.hasSpeakers ? "" : "nobody"}`, role: "table" },
        el("caption", { class: "visually-hidden" }, "Cues"),
        el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head.map((name) => el("th", { scope: "col", role: "columnheader" }, name)), el("th", { scope: "col", role: "columnheader" }, el("span", { class: "visually-hidden" }, "Tools")))),
        el("tbody", { role: "rowgroup" }, this.rows.map((row) => row.element)),
      ),
    );
    this.root = el(
      "section",
      { class: "card stack cues-card", "aria-label": "Cues" },
      el("div", { class: "row between" }, el("div", {}, el("h2", {}, plural(cues.length, "cue")), this.summary), this.filter),
      this.scroll,
    );
    for (const row of this.rows) row.element.setAttribute("role", "row");
    this.update();
  }

  update() {
    const counts = { long: 0, spills: 0, fast: 0, late: 0, unheard: 0, spoken: 0 };
    for (const row of this.rows) {
      const spoken = this.view.spoken(row.cue);
      this.updateRow(row, spoken);
      if (!spoken) continue;
      counts.spoken += 1;
      counts.long += spoken.fits ? 0 : 1;
      counts.spills += isSpilled(spoken) ? 1 : 0;
      counts.fast += isFast(spoken) ? 1 : 0;
      counts.late += isLate(spoken) ? 1 : 0;
      counts.unheard += spoken.missing.length || spoken.repeated.length ? 1 : 0;
    }
    const parts = [[counts.long, "too long"], [counts.late, "late"], [counts.unheard, "to listen to"], [counts.fast, "faster than usual"], [counts.spills, counts.spills === 1 ? "runs into the gap after it" : "run into the gap after them"]];
    this.summary.textContent = counts.spoken ? parts.filter(([count]) => count).map(([count, text]) => `${count} ${text}`).join(", ") || "All of them fit." : "How each one fits is known when it is spoken.";
    this.filter.hidden = !this.rows.some(({ cue }) => this.isToLookAt(cue));
    if (this.filter.hidden) this.onlyLook.checked = false;
    for (const { cue, element } of this.rows) element.hidden = this.onlyLook.checked && !this.isToLookAt(cue);
  }

  isToLookAt(cue) {
    const spoken = this.view.spoken(cue);
    return this.view.isChanged(cue) || (spoken !== null && needsLook(spoken));
  }

  updateRow(row, spoken) {
    const { view } = this;
    const { cue, element } = row;
    const isChanged = view.isChanged(cue);
    const state = JSON.stringify([spoken, isChanged, view.text(cue), view.canPlay]);
    if (row.shown === state || row.isEdited) return;
    row.shown = state;
    const [kind, text, advice] = describeFit(spoken, isChanged);
    const start = spoken?.start ?? cue.start;
    const act = (label, name, work, more = {}) => iconButton(`${label} cue ${cue.cue}`, name, { onclick: work, ...more });
    const cell = (name, ...content) => el("td", { class: `cue-${name}`, role: "cell" }, content);
    element.replaceChildren(
      cell("time", el("span", { class: "time" }, `${formatTenths(start)} – ${formatTenths(spoken?.end ?? cue.end)}`)),
      this.hasSpeakers ? cell("speaker", cue.speaker ? el("span", { class: "badge" }, cue.speaker) : "") : "",
      cell("text", el("span", { class: "cue-words" }, view.text(cue))),
      cell("rate", spoken && !isChanged ? el("span", { class: isFast(spoken) ? "fast" : "soft" }, `${spoken.rate.toFixed(2)}×`) : el("span", { class: "soft" }, "–")),
      cell("fit", el("span", { class: `badge ${kind}` }, kind === "good" ? icon("check") : "", text), advice ? el("span", { class: "cue-advice" }, advice) : ""),
      cell(
        "tools",
        el(
          "span",
          {},
          act("Play", "play", () => view.play(cue), { disabled: !view.canPlay }),
          act("Change the text of", "edit", () => this.edit(row)),
          spoken ? act("Say in another way:", "redo", () => view.redo(cue)) : "",
        ),
      ),
    );
  }

  edit(row) {
    const { cue, element } = row;
    const place = element.querySelector(".cue-text");
    const spoken = this.view.spoken(cue);
    const input = el("textarea", { rows: 3, maxlength: 2000, "aria-label": `Text of cue ${cue.cue}`, spellcheck: "true" });
    input.value = this.view.text(cue);
    const before = input.value.length;
    const count = el("p", { class: "hint", role: "status" });
    const show = () => {
      const shorter = before - input.value.trim().length;
      const wanted = spoken && !spoken.fits ? spoken.shorten_characters : 0;
      count.textContent = wanted ? `${plural(Math.max(0, wanted - shorter), "character")} more to go until it should fit` : plural(input.value.trim().length, "character");
    };
    const finish = () => {
      row.isEdited = false;
      row.shown = null;
      this.update();
      element.querySelector("[aria-label^='Change the text']")?.focus();
    };
    const save = () => {
      const text = input.value.trim();
      if (!text) {
        count.textContent = "A cue needs words. Take it out of the subtitles if nothing is to be said.";
        return input.focus();
      }
      this.view.edit(cue, text).then(finish).catch(fail);
    };
    row.isEdited = true;
    input.addEventListener("input", show);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") finish();
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    show();
    place.replaceChildren(input, count, el("div", { class: "row" }, button("Save", { kind: "primary small", onclick: save }), button("Cancel", { kind: "small", onclick: finish })));
    input.focus();
  }

  // Lights the cue that is heard, and keeps it in sight.
  light(second) {
    const at = this.rows.findIndex(({ cue }) => {
      const spoken = this.view.spoken(cue);
      return second >= (spoken?.start ?? cue.start) && second < (spoken?.end ?? cue.end);
    });
    const lit = this.rows[at]?.element ?? null;
    if (lit === this.lit) return;
    this.lit?.removeAttribute("aria-current");
    lit?.setAttribute("aria-current", "true");
    this.lit = lit;
    if (!lit || lit.hidden || this.scroll.contains(document.activeElement)) return;
    const { offsetTop, offsetHeight } = lit;
    const { scrollTop, clientHeight } = this.scroll;
    if (offsetTop < scrollTop || offsetTop + offsetHeight > scrollTop + clientHeight) this.scroll.scrollTop = offsetTop - clientHeight / 3;
  }
}

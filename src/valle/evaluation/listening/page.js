"use strict";
const test = JSON.parse(document.getElementById("test").textContent);
const storageName = `valle-listening-${test.test}`;
const element = (id) => document.getElementById(id);

const SCALES = {
  preference: [[-1, "The first"], [0, "No difference"], [1, "The second"]],
  cmos: [[3, "Much better"], [2, "Better"], [1, "Slightly better"], [0, "The same"],
    [-1, "Slightly worse"], [-2, "Worse"], [-3, "Much worse"]],
  smos: [[5, "The same voice"], [4, "Very similar"], [3, "Somewhat similar"],
    [2, "Hardly similar"], [1, "Another voice"]],
};
const MUSHRA_LABELS = ["Bad", "Poor", "Fair", "Good", "Excellent"];
const HEADER = "test,kind,listener,session,position,trial,place,clip,against,rating,seconds";

// ---- what is kept when the tab closes

function load() {
  const kept = readStorage();
  if (kept) return kept;
  const asked = Number(new URLSearchParams(location.search).get("listener"));
  const count = test.listeners.length;
  const listener = Number.isInteger(asked) && asked > 0 ? (asked - 1) % count
    : crypto.getRandomValues(new Uint32Array(1))[0] % count;
  const session = [...crypto.getRandomValues(new Uint8Array(6))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { listener, session, rows: [], position: 0 };
}

function readStorage() {
  try { return JSON.parse(localStorage.getItem(storageName)); } catch { return null; }
}

function save() {
  try { localStorage.setItem(storageName, JSON.stringify(state)); }
  catch { element("hint").textContent = "This browser keeps nothing: do not close the page."; }
}

const state = load();
const plan = test.listeners[state.listener];

// ---- clips

let playing = null;

// A clip without a way to skip in it: it counts as heard when it has played to its end.
function makeClip(name, label, onHeard) {
  const audio = new Audio(`clips/${name}.flac`);
  audio.preload = "auto";
  const row = document.createElement("div");
  row.className = "clip";
  row.dataset.clip = name;
  const button = document.createElement("button");
  button.textContent = `Play ${label}`;
  const track = document.createElement("div");
  track.className = "track";
  const bar = document.createElement("span");
  track.append(bar);
  const tick = document.createElement("span");
  row.append(button, track, tick);
  button.addEventListener("click", () => {
    if (!audio.paused) { audio.pause(); return; }
    if (playing && playing !== audio) playing.pause();
    playing = audio;
    audio.play().catch(() => { element("hint").textContent = `${label} cannot be played.`; });
  });
  audio.addEventListener("play", () => { button.textContent = `Stop ${label}`; });
  audio.addEventListener("pause", () => { button.textContent = `Play ${label}`; if (!audio.ended) audio.currentTime = 0; });
  audio.addEventListener("timeupdate", () => { bar.style.width = `${(100 * audio.currentTime) / audio.duration}%`; });
  audio.addEventListener("error", () => { element("hint").textContent = `${label} cannot be loaded.`; });
  audio.addEventListener("ended", () => {
    row.classList.add("heard");
    tick.textContent = "✓";
    tick.title = "heard";
    onHeard();
  });
  row.stop = () => audio.pause();
  return row;
}

// ---- one trial

let trialStart = 0;
let readRatings = () => null;

function showTrial() {
  const [index, order] = plan[state.position];
  const trial = test.trials[index];
  const clips = order.map((place) => trial.clips[place]);
  const box = element("clips");
  box.replaceChildren();
  element("scale").replaceChildren();
  element("hint").textContent = "Hear every clip to its end; then you can answer.";
  element("next").disabled = true;
  element("progress").textContent = `${state.position + 1} of ${plan.length}`;
  element("bar").value = state.position / plan.length;
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const rows = [];
  const onHeard = () => { if (rows.every((row) => row.classList.contains("heard"))) openScale(); };
  // The reference comes first, so that it is heard first.
  if (trial.reference) rows.push(makeClip(trial.reference, "the reference", onHeard));
  const pair = test.kind === "preference" || test.kind === "cmos";
  clips.forEach((clip, place) => {
    const label = pair ? ["the first", "the second"][place] : clips.length === 1 ? "the clip" : letters[place];
    rows.push(makeClip(clip, label, onHeard));
  });
  box.append(...rows);
  if (test.kind === "mushra") showSliders(rows.slice(rows.length - clips.length));
  else showChoices();
  trialStart = Date.now();
}

function showChoices() {
  const field = document.createElement("fieldset");
  field.disabled = true;
  const inputs = SCALES[test.kind].map(([value, text]) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "radio";
    input.name = "rating";
    input.value = value;
    input.addEventListener("change", () => { element("next").disabled = false; });
    label.append(input, text);
    field.append(label);
    return input;
  });
  element("scale").append(field);
  readRatings = () => [Number(inputs.find((input) => input.checked).value)];
}

function showSliders(rows) {
  const moved = new Set();
  const sliders = rows.map((row, place) => {
    const slider = document.createElement("input");
    slider.type = "range";
    slider.min = 0; slider.max = 100; slider.value = 50;
    slider.disabled = true;
    slider.setAttribute("aria-label", `Rating of ${"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[place]}, 0 to 100`);
    const output = document.createElement("output");
    output.textContent = "not rated yet";
    slider.addEventListener("input", () => {
      moved.add(slider);
      output.textContent = slider.value;
      element("next").disabled = moved.size < rows.length;
    });
    const labels = document.createElement("div");
    labels.className = "labels";
    labels.append(...MUSHRA_LABELS.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
    row.append(slider, labels, output);
    return slider;
  });
  readRatings = () => sliders.map((slider) => Number(slider.value));
}

function openScale() {
  element("hint").textContent = "";
  const field = element("scale").querySelector("fieldset");
  if (field) field.disabled = false;
  for (const slider of element("clips").querySelectorAll("input")) slider.disabled = false;
}

function finishTrial() {
  const [index, order] = plan[state.position];
  const trial = test.trials[index];
  const clips = order.map((place) => trial.clips[place]);
  const seconds = ((Date.now() - trialStart) / 1000).toFixed(1);
  const ratings = readRatings();
  const pair = test.kind === "preference" || test.kind === "cmos";
  const rated = pair ? [[1, clips[1], clips[0]]]
    : clips.map((clip, place) => [place, clip, trial.reference || ""]);
  rated.forEach(([place, clip, against], number) => {
    state.rows.push([test.test, test.kind, state.listener + 1, state.session, state.position + 1,
      index, place, clip, against, ratings[number], seconds].join(","));
  });
  for (const row of element("clips").children) row.stop();
  state.position += 1;
  save();
  show();
}

// ---- the whole

function makeCsv() { return [HEADER, ...state.rows].join("\n") + "\n"; }

function show() {
  const done = state.position >= plan.length;
  element("start").hidden = true;
  element("trial").hidden = done;
  element("end").hidden = !done;
  if (!done) { showTrial(); element("clips").querySelector("button").focus(); return; }
  element("code").textContent = `${test.test.slice(0, 4)}-${state.session}`;
  element("csv").textContent = makeCsv();
}

element("begin").addEventListener("click", () => { save(); show(); });
element("next").addEventListener("click", finishTrial);
element("download").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([makeCsv()], { type: "text/csv" }));
  link.download = `answers-${test.test}-${state.session}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
});
if (state.position > 0) show();

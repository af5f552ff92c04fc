// Dub a film: films that are in this browser, and a new one with its subtitles.

import { send } from "./api.js";
import { dropZone, el, fail, icon, iconButton, notice, toast, useStyle } from "./dom.js";
import { showFilm } from "./dub-view.js";
import { isUnfinished } from "./jobs.js";
import { baseName, buildLinks, create } from "./items.js";
import { get as load, list } from "./store.js";

const FILMS = ".mp4,.m4v,.mov,.mkv,.webm,.avi,.ts,video/*";
const SUBTITLES = ".srt,.vtt,.ass,.ssa";
const FORMATS = ["mp4", "mov", "mkv"];

export async function showDub(main, { studio, path }) {
  await useStyle("work.css");
  if (path[0]) {
    const item = await load("dubs", path[0]);
    if (item) return showFilm(main, item, studio);
    toast("That film is not in this browser.");
  }
  const items = await list("dubs");
  const most = Math.round(studio.max_job_upload / 2 ** 20);
  main.append(
    el(
      "div",
      { class: "page-head" },
      el("div", {}, el("h1", {}, "Dub a film"), el("p", {}, "Its subtitles are spoken, each line in its time, with a voice for each speaker. The picture stays as it is. It goes on while this page is closed.")),
    ),
    el("div", { class: "stack" }, buildStart(studio, most), items.length ? buildLinks("dub", items, describe) : null),
  );
  return null;
}

function describe({ cues, task }) {
  const state = isUnfinished(task) ? "working" : (({ succeeded: "dubbed", failed: "failed", cancelled: "stopped" })[task?.state] ?? "not dubbed yet");
  return `${cues.length} ${cues.length === 1 ? "cue" : "cues"}, ${state}`;
}

// A film and subtitles, in either order; when both are there, it goes on.
function buildStart(studio, most) {
  const given = { film: null, subtitles: null };
  const note = el("div", { role: "alert" });
  const zones = el("div", { class: "pair" });
  const take = (name) => (file) => {
    note.replaceChildren();
    if (file.size > studio.max_job_upload) return note.replaceChildren(notice("bad", "This file is too large", el("p", {}, `This server takes ${most} MB. Make the film smaller, or have the server started with a higher --max-job-upload.`)));
    // Whoever drops one on the place of the other means the right thing.
    const isText = SUBTITLES.split(",").some((ending) => file.name.toLowerCase().endsWith(ending));
    given[isText ? "subtitles" : name === "subtitles" && file.type.startsWith("video/") ? "film" : name] = file;
    show();
    if (given.film && given.subtitles) begin().catch(fail);
  };
  const show = () =>
    zones.replaceChildren(
      given.film ? buildGiven(given, "film", show) : dropZone("Drop a film here, or choose one", `MP4, MOV, MKV, WebM, AVI or TS; ${most} MB at most`, FILMS, take("film")),
      given.subtitles ? buildGiven(given, "subtitles", show) : dropZone("Drop its subtitles here, or choose them", "English, as SRT, VTT or ASS", SUBTITLES, take("subtitles")),
    );
  const begin = async () => {
    toast(`Reading ${given.subtitles.name}…`);
    const { film, subtitles } = given;
    let read;
    try {
      read = await send("/v1/studio/subtitles", { file: subtitles });
    } catch (error) {
      given.subtitles = null;
      show();
      return note.replaceChildren(notice("bad", "These subtitles cannot be used", el("p", {}, error.message)));
    } finally {
      document.getElementById("toast").replaceChildren();
    }
    const ending = film.name.split(".").at(-1).toLowerCase();
    const format = FORMATS.includes(ending) ? ending : "mp4";
    await create("dub", { title: baseName(film), cues: read.cues, notes: read.notes, texts: {}, redo: [], voice: null, cast: {}, format, options: {}, task: null, done: null }, { film, subtitles });
  };
  show();
  return el("section", { class: "card stack", "aria-label": "New film" }, zones, note);
}

function buildGiven(given, name, show) {
  const { name: file } = given[name];
  const clear = () => {
    given[name] = null;
    show();
  };
  return el("div", { class: "given" }, icon("check"), el("span", {}, file), iconButton(`Take another file than ${file}`, "close", { onclick: clear }));
}

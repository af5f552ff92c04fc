// Edit a recording by its words: recordings that are in this browser, and new ones.

import { dropZone, el, fail, toast, useStyle } from "./dom.js";
import { showRecording } from "./edit-view.js";
import { isUnfinished } from "./jobs.js";
import { baseName, buildLinks, create } from "./items.js";
import { get as load, list } from "./store.js";

const FILES = ".wav,.flac,.mp3,.ogg,.m4a,.aac,.webm,.mp4,audio/*";

export async function showEdit(main, { studio, path }) {
  await useStyle("work.css");
  if (path[0]) {
    const item = await load("edits", path[0]);
    if (item) return showRecording(main, item, studio);
    toast("That recording is not in this browser.");
  }
  const items = await list("edits");
  const take = (file) => {
    if (file.size > studio.max_job_upload) return toast(`${file.name} is larger than this server takes: ${Math.round(studio.max_job_upload / 2 ** 20)} MB. Cut out the part to be edited.`, "bad");
    return create("edit", { title: baseName(file), text: "", align: null, words: null, changes: [], voice: null, format: "wav", options: {}, versions: [] }, { recording: file }).catch(fail);
  };
  main.append(
    el(
      "div",
      { class: "page-head" },
      el("div", {}, el("h1", {}, "Edit a recording"), el("p", {}, "Change what somebody says by changing the words. New words are in the voice of the recording, whose owner has agreed; everything else stays as it was, to the last sample.")),
    ),
    el(
      "div",
      { class: "stack" },
      el("section", { class: "card", "aria-label": "New recording" }, dropZone("Drop a recording here, or choose one", "WAV, FLAC, MP3, Ogg, M4A, WebM, or the sound of an MP4; an hour at most", FILES, take)),
      items.length ? buildLinks("edit", items, describe) : null,
    ),
  );
  return null;
}

function describe({ words, align, versions }) {
  if (isUnfinished(align) || versions.some(isUnfinished)) return "working";
  if (versions.length) return `${versions.length} ${versions.length === 1 ? "version" : "versions"}`;
  return words ? `${words.length} words` : "needs its words";
}

// Projects: long texts by chapters, dialogues with a voice for each speaker. The server's jobs make
// the sound, also while this page is closed; the browser keeps the texts and which job is whose.

import { post, send } from "./api.js";
import { ask, button, dropZone, el, fail, hideToast, toast } from "./dom.js";
import { countChapters, showProject } from "./project.js";
import { get as load, list, newId, put } from "./store.js";

const TEXTS = ".epub,.txt,.md,.markdown,.html,.htm";

export async function showProjects(main, { studio, path }) {
  if (path[0]) {
    const project = await load("projects", path[0]);
    if (project) return showProject(main, project, studio);
    toast("That project is not in this browser.");
  }
  const projects = await list("projects");
  main.append(
    el(
      "div",
      { class: "page-head" },
      el("div", {}, el("h1", {}, "Projects"), el("p", {}, "Long texts, chapter by chapter, and dialogues with a voice for each speaker. They go on while this page is closed.")),
    ),
    el(
      "div",
      { class: "stack" },
      el(
        "section",
        { class: "card stack", "aria-label": "New project" },
        dropZone("Drop a book or a script here, or choose one", "EPUB, Markdown, HTML or plain text", TEXTS, (file) => readFile(file).catch(fail)),
        el("div", { class: "row" }, button("Paste a text", { icon: "pen", onclick: () => paste().catch(fail) })),
      ),
      projects.length ? el("div", { class: "project-list" }, projects.map(buildLink)) : null,
    ),
  );
  return null;
}

function buildLink(project) {
  const done = project.chapters.filter((chapter) => chapter.state === "succeeded").length;
  return el(
    "a",
    { class: "card project-link", href: `#projects/${project.id}` },
    el("div", { class: "row between" }, el("h2", {}, project.title), el("span", { class: "hint" }, `${done} of ${countChapters(project.chapters.length)} spoken`)),
    el("progress", { max: project.chapters.length, value: done, "aria-label": `${project.title}: chapters that are spoken` }),
  );
}

async function readFile(file) {
  toast(`Reading ${file.name}…`);
  const name = file.name.replace(/\.[^.]*$/, "");
  if (/\.(txt|md|markdown)$/i.test(file.name) && (await createDialogue(await file.text(), name))) return;
  const read = await send("/v1/studio/texts", { file });
  await create({ title: read.title ?? name, chapters: read.chapters, omissions: read.omissions });
}

// A text in which somebody says everything: each part under a heading is a chapter.
async function createDialogue(text, title) {
  const chapters = [];
  for (const part of text.split(/^(?=#{1,3} )/m)) {
    const [, heading = "", body] = part.match(/^(?:#{1,3} +(.*)\n?)?([^]*)$/);
    if (!body.trim()) continue;
    const { turns } = await post("/v1/studio/turns", { text: body });
    if (!turns.length) return false;
    chapters.push({ title: heading.trim() || "Dialogue", text: body.trim(), turns });
  }
  const speakers = new Set(chapters.flatMap((chapter) => chapter.turns.map((turn) => turn.speaker)));
  if (speakers.size < 2) return false;
  await create({ title: title ?? chapters[0].title, chapters, isDialogue: true });
  return true;
}

async function paste() {
  const text = await ask("New project", (close) => {
    const input = el("textarea", { rows: 12, required: true, "aria-label": "The text", placeholder: "# Chapter one\n\nPaste a text here. Lines that begin with # start chapters.\n\nADA: Lines like this one make it a dialogue." });
    return el(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          close(input.value);
        },
      },
      input,
      el("div", { class: "actions" }, button("Cancel", { onclick: () => close() }), el("button", { class: "button primary" }, "Create")),
    );
  });
  if (!text?.trim() || (await createDialogue(text))) return;
  const read = await send("/v1/studio/texts", { file: new File([text], "text.md", { type: "text/markdown" }) });
  await create({ title: read.title ?? read.chapters[0]?.title ?? "Text", chapters: read.chapters, omissions: read.omissions });
}

async function create({ title, chapters, omissions = [], isDialogue = false }) {
  const speakers = chapters.flatMap((chapter) => (chapter.turns ?? []).map((turn) => turn.speaker));
  const project = {
    id: newId(),
    created: Date.now(),
    title,
    voice: null,
    cast: Object.fromEntries(speakers.map((speaker) => [speaker, null])),
    isDialogue,
    format: "mp3",
    speed: 1,
    omissions,
    chapters: chapters
      .filter((chapter) => chapter.text.trim())
      .map((chapter) => ({ turns: [], ...chapter, job: null, state: "new", progress: 0, attempt: 0 })),
  };
  await put("projects", project);
  hideToast();
  location.hash = `#projects/${project.id}`;
}

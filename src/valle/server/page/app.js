// The frame of the studio: what the server can do, the parts of the page, the theme, the keys.

import { get, onKeyNeeded } from "./api.js";
import { ask, button, el, fail, field, icon, iconButton, notice, relabel } from "./dom.js";
import { stopAll } from "./player.js";
import { recall, remember } from "./store.js";
import { showWrite } from "./write.js";

// A part is loaded when it is opened; one with a `job` is there where the server has that kind.
const PARTS = [
  { id: "write", label: "Write", icon: "pen", scope: "speak", show: showWrite },
  { id: "edit", label: "Edit", icon: "cut", scope: "jobs", job: "edit", show: async (...given) => (await import("./edit.js")).showEdit(...given) },
  { id: "dub", label: "Dub", icon: "film", scope: "jobs", job: "dub", show: async (...given) => (await import("./dub.js")).showDub(...given) },
  { id: "projects", label: "Projects", icon: "book", scope: "jobs", show: async (...given) => (await import("./projects.js")).showProjects(...given) },
  { id: "voices", label: "Voices", icon: "people", scope: "voices", show: async (...given) => (await import("./voices.js")).showVoices(...given) },
  { id: "check", label: "Check", icon: "shield", scope: "detect", show: async (...given) => (await import("./check.js")).showCheck(...given) },
];

const main = document.getElementById("main");
let studio = null;
let leave = null;

async function start() {
  applyTheme(recall("theme", null));
  onKeyNeeded(askForKey);
  showTools();
  try {
    studio = await get("/v1/studio");
  } catch (error) {
    main.replaceChildren(
      notice("bad", "The studio cannot start", el("p", {}, error.message), button("Try again", { onclick: start })),
    );
    return;
  }
  showNavigation();
  addEventListener("hashchange", route);
  addEventListener("keydown", onKey);
  await route();
}

function parts() {
  return PARTS.filter((part) => studio.scopes.includes(part.scope) && (!part.job || studio.jobs.includes(part.job)));
}

function showNavigation() {
  document
    .getElementById("nav")
    .replaceChildren(
      ...parts().map((part) => el("a", { href: `#${part.id}`, data: { part: part.id } }, icon(part.icon), el("span", {}, part.label))),
    );
}

// The address is #part or #part/what-is-shown-of-it.
async function route() {
  const [id, ...rest] = location.hash.slice(1).split("/").map(decodeURIComponent);
  if (id === "main") return main.focus();
  const part = parts().find((one) => one.id === id) ?? parts()[0];
  leave?.();
  leave = null;
  stopAll();
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.part === part.id) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${part.label} · valle studio`;
  const place = el("div", {});
  main.replaceChildren(place);
  let left = null;
  try {
    left = (await part.show(place, { studio, path: rest })) ?? null;
  } catch (error) {
    fail(error);
  }
  if (place.isConnected) leave = left;
  else left?.(); // somebody went elsewhere meanwhile
}

function onKey(event) {
  if (event.key !== "?" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select, dialog")) return;
  event.preventDefault();
  showKeys();
}

function showKeys() {
  const keys = [
    ["Ctrl Enter", "speak what you wrote"],
    ["Space", "play or pause"],
    ["← →", "from word to word, in what was spoken"],
    ["Enter", "play from that word"],
    ["P", "say that word differently"],
    ["Shift ← →", "select words of a recording"],
    ["R", "replace the selected words"],
    ["Delete", "remove them"],
    ["I", "insert words after them"],
    ["Esc", "stop, or close a window"],
    ["?", "this list"],
  ];
  ask("Keyboard", () =>
    el("dl", { class: "keys" }, keys.map(([key, what]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)])),
  );
}

function showTools() {
  const toggle = iconButton("Change between light and dark", "theme", {
    onclick: () => {
      const isDark = getComputedStyle(document.documentElement).colorScheme === "dark";
      applyTheme(isDark ? "light" : "dark");
      remember("theme", isDark ? "light" : "dark");
      dispatchEvent(new Event("theme"));
    },
  });
  relabel(toggle, "Change between light and dark", "theme");
  const keys = el("button", { type: "button", class: "icon-button keys-button", "aria-label": "Keyboard", title: "Keyboard", onclick: showKeys }, "?");
  document.getElementById("tools").replaceChildren(keys, toggle);
}

function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

function askForKey(wasWrong) {
  return ask("This server needs a key", (close) => {
    const input = el("input", { type: "password", required: true, autocomplete: "off" });
    return el(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          close(input.value.trim());
        },
      },
      wasWrong ? notice("bad", null, el("p", {}, "That key is not valid, or is not valid any more.")) : null,
      field("API key", input, "Whoever runs the server makes one with: valle keys new NAME. It is kept until you close this tab."),
      el("div", { class: "actions" }, el("button", { class: "button primary" }, "Continue")),
    );
  });
}

start();

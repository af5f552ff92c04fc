// The voices: who they are, what permits them, where they were used; and making a new one.

import { capitalize, get, post, request } from "./api.js";
import {
  ask, askName, confirmAction, download, el, fail, formatDay, icon, iconButton, toast,
} from "./dom.js";
import { showNewVoice } from "./new-voice.js";

export async function showVoices(main, { studio, path }) {
  if (path[0] === "new") return showNewVoice(main, studio);
  const list = el("div", { class: "stack" });
  main.append(
    el(
      "div",
      { class: "page-head" },
      el("div", {}, el("h1", {}, "Voices"), el("p", {}, "Each voice is here because its owner agreed, aloud, or because you answer for it.")),
      el("a", { class: "button primary", href: "#voices/new" }, icon("plus"), "New voice"),
    ),
    list,
  );
  const refresh = async () => {
    const { data } = await get("/v1/studio/voices");
    if (!data.length) list.replaceChildren(emptyState());
    else list.replaceChildren(el("ul", { class: "voices" }, data.map((voice) => buildVoice(voice, studio, refresh))));
  };
  await refresh();
  return null;
}

function emptyState() {
  return el(
    "div",
    { class: "card empty" },
    icon("mic"),
    el("h2", {}, "Make your first voice"),
    el("p", {}, "It takes ten seconds of you speaking, and half a minute to read a short text that says you agree."),
    el("a", { class: "button primary large", href: "#voices/new" }, icon("mic"), "Record a voice"),
  );
}

function buildVoice(voice, studio, refresh) {
  const act = (label, name, work) =>
    iconButton(`${label} ${voice.name}`, name, { onclick: () => work().then(refresh).catch(fail) });
  const uses = voice.uses
    ? `Used ${voice.uses === 1 ? "once" : `${voice.uses} times`}, last on ${formatDay(voice.last_use)}`
    : "Not used yet";
  return el(
    "li",
    { class: "card voice", data: { voice: voice.name } },
    el(
      "div",
      { class: "voice-head" },
      el("div", { class: "portrait", "aria-hidden": "true" }, [...voice.name][0].toUpperCase()),
      el("div", {}, el("h2", { class: "voice-name" }, voice.name), buildBadge(voice)),
    ),
    el(
      "div",
      { class: "facts" },
      el("span", {}, describeScope(voice)),
      voice.is_own ? el("span", {}, uses) : null,
      !voice.usable && voice.why ? el("span", {}, capitalize(voice.why)) : null,
      (voice.warnings ?? []).map((warning) => el("span", {}, capitalize(warning))),
    ),
    voice.usable
      ? el("div", {}, el("a", { class: "button small", href: `#write/${encodeURIComponent(voice.name)}` }, icon("pen"), "Write with it"))
      : null,
    voice.is_own
      ? el(
          "div",
          { class: "voice-tools" },
          act("Hear the recording of", "play", () => preview(voice)),
          act("Where was it used:", "wave", () => showUses(voice)),
          act("Rename", "edit", () => rename(voice)),
          act("Export", "down", () => exportVoice(voice)),
          voice.kind && !isRevoked(voice) ? act("Revoke the consent to", "shield", () => revoke(voice)) : null,
          act("Delete", "trash", () => remove(voice)),
        )
      : null,
  );
}

const isRevoked = (voice) => !voice.usable && /revoked/.test(voice.why ?? "");

function buildBadge(voice) {
  if (isRevoked(voice)) return el("span", { class: "badge bad" }, "Revoked");
  if (!voice.usable) return el("span", { class: "badge warn" }, "Cannot speak");
  if (voice.kind === "consented") return el("span", { class: "badge good" }, icon("check"), "Owner agreed aloud");
  return el("span", { class: "badge warn" }, "On your word");
}

function describeScope(voice) {
  if (voice.kind !== "consented") return "You stated that you hold the rights to it.";
  const { purpose, expires } = voice.scope;
  return `${voice.speaker} agreed${purpose ? `, for ${purpose}` : ""}${expires ? `, until ${expires}` : ""}.`;
}

async function preview(voice) {
  const answer = await request(`/v1/studio/voices/${voice.id}/recording`);
  const url = URL.createObjectURL(await answer.blob());
  await ask(`The recording of ${voice.name}`, () =>
    el(
      "div",
      { class: "stack" },
      el("audio", { src: url, controls: true, autoplay: true }),
      voice.statement ? el("p", { class: "hint" }, `What permits it: “${voice.statement}”`) : null,
    ),
  );
  URL.revokeObjectURL(url);
}

async function showUses(voice) {
  const { data, count } = await get(`/v1/studio/voices/${voice.id}/uses`);
  await ask(`Where ${voice.name} was used`, () =>
    count
      ? el(
          "div",
          { class: "stack" },
          el("p", { class: "hint" }, `The ledger, which cannot be changed unnoticed, has ${count} ${count === 1 ? "text" : "texts"}. It keeps no words, only when each was spoken.`),
          el("ul", { class: "uses" }, data.map((use) => el("li", {}, `${formatDay(use.time)} · ${use.model}`))),
        )
      : el("p", {}, "Nothing was spoken with it yet."),
  );
}

async function rename(voice) {
  const name = await askName(`Rename ${voice.name}`, "New name", voice.name, "Rename");
  if (!name || name === voice.name) return;
  await post(`/v1/studio/voices/${voice.id}`, { name });
  toast(`It is called ${name} now.`);
}

async function exportVoice(voice) {
  const answer = await request(`/v1/studio/voices/${voice.id}/file`);
  download(await answer.blob(), `${voice.name}.safetensors`);
  toast("The file holds the recording, the voice and its receipt. Keep it as safe as the recording.");
}

async function revoke(voice) {
  const text = `${voice.name} will never speak again: not here, and not with any copy of this voice on this server. This cannot be undone. What was spoken before stays as it is.`;
  if (!(await confirmAction(`Revoke the consent to ${voice.name}?`, text, "Revoke for good"))) return;
  await post(`/v1/studio/voices/${voice.id}/revocation`, {});
  toast(`The consent to ${voice.name} is revoked.`);
}

async function remove(voice) {
  const text = "The voice and its recording are deleted. The ledger keeps that it existed, and when it was used. Exported copies still work: to stop those too, revoke the consent first.";
  if (!(await confirmAction(`Delete ${voice.name}?`, text, "Delete"))) return;
  await request(`/v1/audio/voices/${voice.id}`, { method: "DELETE" });
  toast(`${voice.name} is deleted.`);
}

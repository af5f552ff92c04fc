// Check a file: was it made by a machine, by this one, and what does it say about itself?

import { capitalize, send } from "./api.js";
import { announce, dropZone, el, icon, notice } from "./dom.js";

const FILES = "audio/*,video/*,.wav,.mp3,.m4a,.webm,.flac,.ogg,.opus,.aac,.mp4,.mov";
const KINDS = ["bona fide", "resynthesized", "synthetic"];
const KIND_NAMES = ["sounds like a person", "passed through a neural codec", "sounds synthetic"];

export function showCheck(main, { studio }) {
  const result = el("div", { "aria-live": "polite" });
  const checking = { number: 0, url: null };
  main.append(
    el(
      "div",
      { class: "page-head" },
      el("div", {}, el("h1", {}, "Check a recording"), el("p", {}, "Is it a person, or was it made by a machine? The file is looked at on this server, and not kept.")),
    ),
    el("div", { class: "stack" }, el("div", { class: "card" }, dropZone("Drop a recording here, or choose one", `sound or film, ${Math.round(studio.max_upload / 2 ** 20)} MB at most`, FILES, check)), result),
  );

  async function check(file) {
    const number = ++checking.number;
    result.replaceChildren(el("div", { class: "card row" }, el("span", { class: "spinner" }), `Looking at ${file.name}…`));
    if (checking.url) URL.revokeObjectURL(checking.url);
    checking.url = URL.createObjectURL(file);
    try {
      const report = await send("/v1/audio/detections", { recording: file });
      if (number === checking.number) result.replaceChildren(buildReport(file, report, checking.url));
    } catch (error) {
      if (number === checking.number) result.replaceChildren(notice("bad", "This file cannot be checked", el("p", {}, error.message)));
    }
    announce(result.querySelector("h2, .notice-title")?.textContent ?? "");
  }
  return () => checking.url && URL.revokeObjectURL(checking.url);
}

function buildReport(file, report, url) {
  const verdict = describeVerdict(report);
  return el(
    "section",
    { class: "card verdict", "aria-label": "Result" },
    el("div", { class: `verdict-head ${verdict.kind}` }, icon(verdict.icon), el("div", {}, el("h2", {}, verdict.title), el("p", {}, verdict.text))),
    el("audio", { controls: true, src: url, "aria-label": `Play ${file.name}` }),
    buildWatermark(report),
    buildDetector(report),
    buildProvenance(report),
    el("p", { class: "hint" }, `Keep in mind: ${report.detector.cannot_know ?? "a verdict is an estimate"}.`),
  );
}

// The whole in one sentence. The mark is near certain, the detector is an estimate.
function describeVerdict({ watermark, detector }) {
  const made = (watermark.payload?.ledger ?? []).some((receipt) => receipt.made !== false);
  if (watermark.found && made) {
    return { kind: "bad", icon: "alert", title: "Made here, by a machine", text: "It carries the mark of this server's own voice generator." };
  }
  if (watermark.found) {
    return { kind: "bad", icon: "alert", title: "Made by a machine", text: "It carries valle's mark, which is in all speech that valle makes." };
  }
  if (!detector.checked) {
    return { kind: "plain", icon: "shield", title: "No mark was found", text: `Nothing more can be said: ${detector.why}.` };
  }
  const percent = Math.round(100 * (1 - detector.probability["bona fide"]));
  if (!detector.sure) {
    return { kind: "warn", icon: "alert", title: "It cannot be told from this recording", text: `It has no mark, and the detector is not sure: ${detector.doubts.join("; ")}.` };
  }
  if (detector.kind === "bona fide") {
    return { kind: "good", icon: "check", title: "It sounds like a person", text: `It has no mark, and the detector gives ${percent} in 100 that a machine made it.` };
  }
  const how = detector.kind === "synthetic" ? "made by a machine" : "of a person, but passed through a neural codec";
  return { kind: "bad", icon: "alert", title: `It sounds ${how}`, text: `It has no mark of valle, but the detector gives ${percent} in 100 that it is not a plain recording of a person.` };
}

function buildWatermark({ watermark, seconds }) {
  const spans = watermark.spans ?? [];
  const receipts = watermark.payload?.ledger ?? [];
  const content = [];
  if (!watermark.found) {
    content.push(el("p", {}, "There is none, so valle did not make it, or the mark was lost: under loud music, or in less than a few seconds."));
  } else {
    content.push(
      el("p", {}, `It is in ${spans.length === 1 ? "one stretch" : `${spans.length} stretches`} of the recording.`),
      el("div", { class: "marks", role: "img", "aria-label": spans.map((span) => `from ${span.start.toFixed(1)} to ${span.end.toFixed(1)} seconds`).join(", ") }, spans.map((span) => place(span, seconds))),
    );
    for (const receipt of receipts) {
      const fits = receipt.made === false ? " But it sounds like nothing that was spoken here: somebody may have laid the mark on it." : "";
      content.push(el("p", {}, `It names the voice ${receipt.voice ?? "of a receipt"}, used ${receipt.spoken} ${receipt.spoken === 1 ? "time" : "times"} here${receipt.last ? `, last on ${receipt.last.slice(0, 10)}` : ""}.${fits}`));
    }
  }
  return el("div", {}, el("h3", {}, "The mark in the sound"), content);
}

function place(span, seconds) {
  const element = el("span", {});
  element.style.left = `${(100 * span.start) / seconds}%`;
  element.style.width = `${(100 * (span.end - span.start)) / seconds}%`;
  return element;
}

function buildDetector({ detector }) {
  if (!detector.checked) return null;
  const kinds = detector.seconds.map((second) => KINDS.reduce((best, kind, index) => (second[kind] > second[KINDS[best]] ? index : best), 0));
  const counts = KINDS.map((_, index) => kinds.filter((kind) => kind === index).length);
  const summary = counts.map((count, index) => (count ? `${count} s ${KIND_NAMES[index]}` : "")).filter(Boolean).join(", ");
  return el(
    "div",
    { class: "stack" },
    el("h3", {}, "Second by second"),
    el("div", { class: "by-second", role: "img", "aria-label": summary }, kinds.map((kind, second) => el("span", { class: `kind-${kind}`, title: `${second + 1}. second: ${KIND_NAMES[kind]}` }))),
    el("div", { class: "legend" }, KIND_NAMES.map((name, index) => el("span", {}, el("i", { class: `kind-${index}` }), capitalize(name)))),
    el(
      "details",
      {},
      el("summary", {}, "Numbers"),
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ["Second", ...KIND_NAMES].map((name) => el("th", { scope: "col" }, capitalize(name))))),
        el("tbody", {}, detector.seconds.map((second, index) => el("tr", {}, el("td", {}, String(index + 1)), KINDS.map((kind) => el("td", {}, `${Math.round(100 * second[kind])} %`))))),
      ),
    ),
  );
}

function buildProvenance({ provenance }) {
  const { verified, c2pa } = provenance;
  const text =
    verified === true
      ? "It carries a signed record of how it was made, and the record fits the file. Whether you trust who signed it is yours to say."
      : verified === false
        ? "It carries a signed record, but the record does not fit: the file was changed after it was signed."
        : "It carries none. Most files do not, so this says nothing about it.";
  const maker = c2pa?.found && c2pa.generator ? el("p", {}, `It states that it was made with ${c2pa.generator}.`) : null;
  return el("div", {}, el("h3", {}, "Its own record"), el("p", {}, text), maker);
}

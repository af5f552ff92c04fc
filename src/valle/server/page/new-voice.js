// A new voice, in three steps: a name, a recording, and what permits it.

import { capitalize, post, send } from "./api.js";
import { announce, button, dropZone, el, fail, field, icon, notice, toast } from "./dom.js";
import { buildRecorder } from "./recorder.js";
import { stopAll } from "./player.js";

const RECORDINGS = "audio/*,.wav,.mp3,.m4a,.webm,.flac,.ogg,.opus,.aac,.mp4";
const SAMPLE =
  "The old lighthouse keeper counted ships each evening. When the fog came in from the bay, he rang a copper bell, and the sound carried for miles across the quiet water.";
const GOOD_SCORE = 80;

export function showNewVoice(main, studio) {
  const state = { name: "", recording: null, rating: null, challenge: null, consent: null };
  const steps = { name: el("li", { class: "step" }), recording: el("li", { class: "step" }), consent: el("li", { class: "step" }) };
  const url = { current: null };

  main.append(
    el(
      "div",
      { class: "page-head" },
      el(
        "div",
        {},
        el("h1", {}, "New voice"),
        el("p", {}, "Three steps, about two minutes. Everything stays on this server."),
      ),
      el("a", { class: "button quiet", href: "#voices" }, icon("back"), "All voices"),
    ),
    el("ol", { class: "steps card" }, Object.values(steps)),
  );

  function mark() {
    const at = !state.name ? "name" : !state.rating ? "recording" : "consent";
    const order = Object.keys(steps);
    for (const [index, id] of order.entries()) {
      steps[id].classList.toggle("now", id === at);
      steps[id].classList.toggle("done", index < order.indexOf(at));
      steps[id].classList.toggle("later", index > order.indexOf(at));
    }
  }

  function buildName() {
    const input = el("input", { maxlength: 64, required: true, autocomplete: "off", placeholder: "Ada Lovelace" });
    const form = el(
      "form",
      {
        class: "stack",
        onsubmit: (event) => {
          event.preventDefault();
          state.name = input.value.trim();
          if (!state.name) return;
          state.challenge = state.consent = null;
          mark();
          if (state.rating) buildConsent();
          else buildRecording();
          steps.recording.querySelector("button")?.focus();
        },
      },
      field("Whose voice is it?", input, "The name is part of the text that its owner reads aloud, so write it as it is said."),
      el("div", { class: "row" }, el("button", { class: "button primary" }, "Continue")),
    );
    steps.name.replaceChildren(el("div", {}, el("h2", {}, "Name"), form));
    input.focus();
  }

  function buildRecording() {
    const result = el("div", {});
    const recorder = buildRecorder({
      label: "Record",
      most: 60,
      take: (file) => rate(file, result),
    });
    steps.recording.replaceChildren(
      el(
        "div",
        {},
        el("h2", {}, "Recording"),
        state.name
          ? [
              el("p", {}, "Speak for 6 to 10 seconds, as you would to a friend across the table. If you lack words, read this:"),
              el("blockquote", { class: "statement" }, SAMPLE),
              recorder,
              result,
              el("p", { class: "soft" }, "Or take a recording that you have, of one person alone:"),
              dropZone("Drop a recording here, or choose one", "WAV, MP3, M4A, WebM, FLAC and more", RECORDINGS, (file) => rate(file, result)),
            ]
          : null,
      ),
    );
  }

  async function rate(file, result) {
    state.recording = file;
    state.rating = null;
    result.replaceChildren(el("div", { class: "row" }, el("span", { class: "spinner" }), "Listening to it…"));
    if (url.current) URL.revokeObjectURL(url.current);
    url.current = URL.createObjectURL(file);
    const player = el("audio", { src: url.current, controls: true });
    try {
      state.rating = await send("/v1/studio/recordings", { recording: file });
      result.replaceChildren(el("div", { class: "stack" }, describeRating(state.rating), player));
      mark();
      buildConsent();
    } catch (error) {
      result.replaceChildren(el("div", { class: "stack" }, notice("bad", "This recording cannot be used", el("p", {}, error.message)), player));
      mark();
    }
    announce(result.innerText);
  }

  function buildConsent() {
    const inside = el("div", {}, el("h2", {}, "Consent"));
    steps.consent.replaceChildren(inside);
    if (!state.rating) return;
    const place = el("div", { class: "stack" });
    inside.append(
      el("p", {}, `Now ${state.name} reads a short text aloud that says what this voice may be used for. It has four words that are made up just now, so nobody can use an old recording.`),
      el("div", { class: "row" }, button("Show the text", { icon: "mic", kind: "primary", onclick: (event) => showStatement(place, event.currentTarget) })),
      place,
    );
    if (studio.attestation) inside.append(buildAttestation());
  }

  async function showStatement(place, opener) {
    try {
      const user = studio.is_local ? "the owner of this computer" : undefined;
      state.challenge = await post("/v1/audio/voice_consents/challenges", { name: state.name, user });
      state.consent = null;
    } catch (error) {
      return fail(error);
    }
    opener.parentElement.hidden = true;
    const verdict = el("div", {});
    const recorder = buildRecorder({ label: "Record the text", most: 60, take: (file) => enroll({ statement: file }, verdict, () => restart(place, opener)) });
    place.replaceChildren(
      el("blockquote", { class: "statement" }, markPhrase(state.challenge.text)),
      el("p", { class: "hint" }, "Read it word for word, with the same microphone as before, and pause shortly after each of the four words. It is valid for 15 minutes."),
      recorder,
      verdict,
      dropZone("Or drop a recording of it", "made just now", RECORDINGS, (file) => enroll({ statement: file }, verdict, () => restart(place, opener))),
    );
    recorder.querySelector("button").focus();
  }

  function restart(place, opener) {
    opener.parentElement.hidden = false;
    place.replaceChildren();
    opener.focus();
  }

  function buildAttestation() {
    const agreed = el("input", { type: "checkbox", id: "attest" });
    const verdict = el("div", {});
    return el(
      "details",
      {},
      el("summary", {}, "The owner cannot read it now"),
      el(
        "div",
        { class: "stack" },
        el("p", {}, "Then you can answer for it yourself. Nobody checks your word; the voice is marked “On your word”, and only you can speak with it."),
        el("label", { class: "tick", for: "attest" }, agreed, el("span", {}, `“${studio.attestation}.” I state this, and it is true.`)),
        el("div", { class: "row" }, button("Make the voice on my word", { onclick: () => {
          if (agreed.checked) enroll({ attestation: studio.attestation }, verdict);
          else verdict.replaceChildren(notice("warn", null, el("p", {}, "Tick the sentence above first: it is what you state.")));
        } })),
        verdict,
      ),
    );
  }

  async function enroll(permission, verdict, restartChallenge) {
    stopAll();
    verdict.replaceChildren(el("div", { class: "row" }, el("span", { class: "spinner" }), "Checking…"));
    try {
      const answer = await send("/v1/studio/voices", {
        name: state.name,
        recording: state.recording,
        consent: permission.statement ? state.consent : null,
        ...permission,
      });
      if (answer.voice) {
        toast(`${answer.voice.name} is ready. Write something for it.`);
        location.hash = `#write/${encodeURIComponent(answer.voice.name)}`;
        return;
      }
      state.consent = answer.consent;
      verdict.replaceChildren(describeRefusal(answer.refusal, restartChallenge));
    } catch (error) {
      const another = restartChallenge ? button("Get another text", { onclick: restartChallenge }) : null;
      verdict.replaceChildren(notice("bad", "No voice was made", el("p", {}, error.message), another));
    }
    announce(verdict.innerText);
  }

  buildName();
  buildRecording();
  buildConsent();
  mark();
  return () => {
    document.querySelectorAll(".recorder").forEach((recorder) => recorder.cancel());
    if (url.current) URL.revokeObjectURL(url.current);
  };
}

function describeRating(rating) {
  const used = rating.used[1] - rating.used[0];
  const good = rating.score >= GOOD_SCORE;
  const words = rating.score >= GOOD_SCORE ? "Good" : rating.score >= 50 ? "Usable" : "Poor";
  return notice(
    good ? "good" : "warn",
    `${words}: ${rating.score} of 100`,
    el("p", {}, `${used.toFixed(1)} seconds of speech will be used.`),
    rating.warnings.length ? el("ul", {}, rating.warnings.map((warning) => el("li", {}, capitalize(warning)))) : null,
    good ? null : el("p", {}, "Better: 6 to 10 seconds of one person, an arm's length from the microphone, in a quiet room. You can record again, or go on."),
  );
}

// Why a statement was not accepted, and what to do about it.
function describeRefusal(refusal, restart) {
  const left = refusal.tries_left;
  return notice(
    "warn",
    "Not accepted yet",
    el("p", {}, "What was wrong:"),
    el("ul", {}, refusal.faults.map((fault) => el("li", {}, capitalize(fault)))),
    refusal.advice.length && left
      ? [el("p", {}, "What to do when you record it again:"), el("ul", {}, refusal.advice.map((one) => el("li", {}, capitalize(one))))]
      : null,
    left ? el("p", {}, left === 1 ? "One try is left." : `${left} tries are left.`) : null,
    left === 0
      ? [el("p", {}, "That was the last try with this text."), button("Get another text", { onclick: restart })]
      : null,
  );
}

// The four words are the last four of the text.
function markPhrase(text) {
  const start = text.lastIndexOf(": ") + 2;
  return [text.slice(0, start), el("strong", {}, text.slice(start))];
}

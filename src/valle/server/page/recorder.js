// Records from the microphone to a WAV file, with a level meter that says what is wrong.

import { announce, button, el, formatTime, notice } from "./dom.js";
import { stopAll } from "./player.js";

const CLIPPED = 0.985; // of full scale
const FLOOR = -60; // dBFS at the left end of the meter
const SPEAKING = -40; // dBFS; a level below it after two seconds is too quiet

const REASONS = {
  NotAllowedError:
    "The browser does not let this page use the microphone. Click the symbol left of the address, allow the microphone, and press Record again. Or drop a recording instead.",
  NotFoundError: "No microphone was found. Connect one and press Record again, or drop a recording instead.",
  NotReadableError: "Another program uses the microphone. Close it and press Record again.",
};

// Builds a recorder; `take` is called with the WAV file and its length in seconds.
export function buildRecorder({ label, most, take }) {
  const level = el("div", { class: "meter-level" });
  const meter = el("div", { class: "meter", role: "meter", "aria-label": "Microphone level", "aria-valuemin": FLOOR, "aria-valuemax": 0, "aria-valuenow": FLOOR }, level);
  const time = el("span", { class: "recorder-time" }, "0:00");
  const hint = el("p", { class: "recorder-hint", role: "status" });
  const control = button(label, { icon: "mic", kind: "primary record", onclick: () => toggle() });
  const problem = el("div", {});
  const root = el("div", { class: "recorder" }, el("div", { class: "recorder-row" }, control, meter, time), hint, problem);
  let session = null;

  async function toggle() {
    if (session) return finish();
    problem.replaceChildren();
    stopAll();
    control.disabled = true;
    try {
      time.textContent = "0:00"; // not that of the recording before
      session = await open(show);
      setLabel("Stop recording", true);
      announce("Recording");
    } catch (error) {
      const text = !navigator.mediaDevices
        ? "This browser records only at https:// addresses and on this computer itself. Open http://127.0.0.1 with the server's port, or drop a recording instead."
        : (REASONS[error.name] ?? `The microphone cannot be used: ${error.message}`);
      problem.replaceChildren(notice("bad", "The microphone does not work here", el("p", {}, text)));
    } finally {
      control.disabled = false;
    }
  }

  function setLabel(text, isRecording) {
    control.querySelector("span").textContent = text;
    control.classList.toggle("recording", isRecording);
  }

  function show({ loudness, loudest, seconds, clipped }) {
    const shown = Math.max(FLOOR, loudness);
    level.style.transform = `scaleX(${1 - shown / FLOOR})`;
    level.classList.toggle("hot", clipped);
    meter.setAttribute("aria-valuenow", Math.round(shown));
    time.textContent = formatTime(seconds);
    const text = clipped
      ? "Too loud: it is clipped. Move away from the microphone a little."
      : seconds > 2 && loudest < SPEAKING
        ? "Very quiet. Come nearer, or turn the microphone up."
        : "";
    if (hint.textContent !== text) hint.textContent = text;
    if (seconds >= most) finish();
  }

  async function finish() {
    const done = session;
    session = null;
    if (!done) return;
    const { samples, rate } = await done.close();
    setLabel(`${label} again`, false);
    level.style.transform = "scaleX(0)";
    hint.textContent = "";
    take(encodeWav(samples, rate), samples.length / rate);
  }

  // The page is left in the middle of a recording.
  root.cancel = () => {
    session?.close();
    session = null;
  };
  return root;
}

async function open(onlevel) {
  // Whatever changes the level by itself would make the recording worse, and a statement refused.
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const context = new AudioContext();
  await context.audioWorklet.addModule("/page/recorder-worklet.js");
  const source = context.createMediaStreamSource(stream);
  const node = new AudioWorkletNode(context, "valle-recorder", { numberOfOutputs: 0 });
  const blocks = [];
  let length = 0;
  let loudest = -Infinity;
  let clippedUntil = 0;
  node.port.onmessage = ({ data }) => {
    blocks.push(data);
    length += data.length;
    let power = 0;
    let peak = 0;
    for (const sample of data) {
      power += sample * sample;
      peak = Math.max(peak, Math.abs(sample));
    }
    const loudness = 10 * Math.log10(power / data.length + 1e-12);
    const seconds = length / context.sampleRate;
    if (peak >= CLIPPED) clippedUntil = seconds + 1.5;
    loudest = Math.max(loudest, loudness);
    onlevel({ loudness, loudest, seconds, clipped: seconds < clippedUntil });
  };
  source.connect(node);
  await context.resume();
  return {
    async close() {
      stream.getTracks().forEach((track) => track.stop());
      const rate = context.sampleRate;
      await context.close();
      const samples = new Float32Array(length);
      let at = 0;
      for (const block of blocks) {
        samples.set(block, at);
        at += block.length;
      }
      return { samples, rate };
    },
  };
}

export function encodeWav(samples, rate) {
  const pcm = new Int16Array(samples.length);
  for (let index = 0; index < samples.length; index++) {
    pcm[index] = Math.round(Math.max(-1, Math.min(1, samples[index])) * 32767);
  }
  return wavFile(pcm, rate);
}

// A WAV file of 16-bit samples.
export function wavFile(pcm, rate) {
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, value) => [...value].forEach((sign, index) => header.setUint8(at + index, sign.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + pcm.byteLength, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, pcm.byteLength, true);
  return new Blob([header, pcm], { type: "audio/wav" });
}

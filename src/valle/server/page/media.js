// A recording to be heard, seen and marked: its waveform, on which a part can be shown.

import { el, formatTime, iconButton, relabel } from "./dom.js";

const WIDTH = 1200; // pixels that are drawn, whatever the screen shows
const HEIGHT = 144;
const RATE = 8000; // Hz at which a recording is looked at: enough for its outline
const MOST_BYTES = 300e6; // of a file that is looked at: more would take too much memory
const JUMP = 1; // seconds of an arrow key

let current = null; // what plays: one at a time

// The outline of a recording, [WIDTH] levels from 0 to 1, or null where the browser cannot read it.
export async function readOutline(blob) {
  if (blob.size > MOST_BYTES) return null;
  try {
    const context = new OfflineAudioContext(1, 1, RATE);
    const sound = await context.decodeAudioData(await blob.arrayBuffer());
    const levels = new Float32Array(WIDTH);
    for (let channel = 0; channel < sound.numberOfChannels; channel++) {
      const samples = sound.getChannelData(channel);
      for (let index = 0; index < samples.length; index++) {
        const at = Math.min(WIDTH - 1, Math.floor((index * WIDTH) / samples.length));
        levels[at] = Math.max(levels[at], Math.abs(samples[index]));
      }
    }
    return { levels, seconds: sound.duration };
  } catch {
    return null; // the sound can be heard all the same
  }
}

export class Player {
  // `onsecond` is called with the second that is heard, while it plays and when it is moved.
  constructor(label, { onsecond = () => {} } = {}) {
    this.label = label;
    this.onsecond = onsecond;
    this.marks = [];
    this.outline = null;
    this.until = Infinity;
    this.sound = el("audio", { preload: "metadata", class: "visually-hidden", tabindex: -1, "aria-hidden": "true" });
    this.control = iconButton(`Play ${label}`, "play", { class: "round", onclick: () => this.toggle() });
    this.time = el("span", { class: "time" });
    this.canvas = el("canvas", { width: WIDTH, height: HEIGHT });
    this.overlay = el("div", { class: "wave-marks" });
    this.cursor = el("div", { class: "cursor" });
    this.wave = el(
      "div",
      {
        class: "picture wave",
        role: "slider",
        tabindex: 0,
        "aria-label": `Position in ${label}`,
        "aria-valuemin": 0,
        "aria-valuemax": 0,
        "aria-valuenow": 0,
        onpointerdown: (event) => {
          const box = this.wave.getBoundingClientRect();
          this.seek(((event.clientX - box.left) / box.width) * this.seconds);
        },
        onkeydown: (event) => this.onKey(event),
      },
      this.overlay,
      this.canvas,
      this.cursor,
    );
    this.root = el("div", { class: "player" }, this.control, this.wave, this.time, this.sound);
    for (const name of ["play", "pause", "seeked", "durationchange", "ended"]) this.sound.addEventListener(name, () => this.follow());
  }

  load(blob, outline) {
    this.release();
    this.url = URL.createObjectURL(blob);
    this.sound.src = this.url;
    this.show(outline);
  }

  show(outline) {
    this.outline = outline;
    this.paint();
    this.setMarks(this.marks);
    this.follow();
  }

  release() {
    this.sound.pause();
    if (this.url) URL.revokeObjectURL(this.url);
  }

  get seconds() {
    return Number.isFinite(this.sound.duration) ? this.sound.duration : (this.outline?.seconds ?? 0);
  }

  // Marks are {start, end, kind, label}, in seconds.
  setMarks(marks) {
    this.marks = marks;
    const whole = this.seconds || 1;
    this.overlay.replaceChildren(
      ...marks.map(({ start, end, kind }) => {
        const mark = el("span", { class: `mark-${kind}` });
        mark.style.left = `${(100 * start) / whole}%`;
        mark.style.width = `${(100 * Math.max(end - start, 0)) / whole}%`;
        return mark;
      }),
    );
  }

  play(from = this.sound.currentTime, until = Infinity) {
    if (current && current !== this) current.sound.pause();
    current = this;
    this.until = until;
    this.sound.currentTime = Math.max(0, from);
    return this.sound.play();
  }

  toggle() {
    if (this.sound.paused) this.play(this.sound.ended ? 0 : undefined);
    else this.sound.pause();
  }

  seek(second) {
    this.until = Infinity;
    this.sound.currentTime = Math.max(0, Math.min(second, this.seconds));
  }

  onKey(event) {
    const steps = { ArrowLeft: -JUMP, ArrowRight: JUMP, ArrowDown: -JUMP, ArrowUp: JUMP, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.seek(this.sound.currentTime + steps[event.key]);
    else if (event.key === " " || event.key === "Enter") this.toggle();
    else return;
    event.preventDefault();
  }

  follow() {
    const { sound } = this;
    const second = sound.currentTime;
    if (!sound.paused && second >= this.until) sound.pause();
    relabel(this.control, `${sound.paused ? "Play" : "Pause"} ${this.label}`, sound.paused ? "play" : "pause");
    this.cursor.style.left = `${(100 * second) / (this.seconds || 1)}%`;
    this.wave.setAttribute("aria-valuemax", this.seconds.toFixed(1));
    this.wave.setAttribute("aria-valuenow", second.toFixed(1));
    this.wave.setAttribute("aria-valuetext", `${second.toFixed(1)} seconds`);
    this.time.textContent = `${formatTime(second)} / ${formatTime(this.seconds)}`;
    if (this.marked !== this.seconds) {
      this.marked = this.seconds;
      this.setMarks(this.marks);
    }
    this.onsecond(second, !sound.paused);
    cancelAnimationFrame(this.frame);
    if (!sound.paused) this.frame = requestAnimationFrame(() => this.follow());
  }

  paint() {
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, WIDTH, HEIGHT);
    if (!this.outline) return;
    pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--wave");
    const { levels } = this.outline;
    const loudest = Math.max(0.05, ...levels);
    for (let x = 0; x < WIDTH; x += 4) {
      const level = Math.max(levels[x], levels[x + 1], levels[x + 2], levels[x + 3]) / loudest;
      const height = Math.max(2, level * (HEIGHT - 12));
      pen.fillRect(x, (HEIGHT - height) / 2, 2.6, height);
    }
  }
}

export function pauseAll() {
  current?.sound.pause();
}

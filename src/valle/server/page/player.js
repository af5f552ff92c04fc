// One player for the whole page: whatever plays next takes it over from what played before.

let context = null;
let ready = null;
let node = null;
let current = null;
let starting = null; // what will be the current sound, once the browser can play

async function start(rate) {
  if (!window.AudioWorkletNode || !window.isSecureContext) {
    throw new Error("This browser plays and records only at https:// addresses and on this computer itself: open http://127.0.0.1 with the server's port, or put the server behind https.");
  }
  if (context && context.sampleRate !== rate) {
    await context.close();
    context = null;
  }
  if (!context) {
    context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    ready = context.audioWorklet.addModule("/page/player-worklet.js").then(() => {
      node = new AudioWorkletNode(context, "valle-player", { outputChannelCount: [1] });
      node.connect(context.destination);
      node.port.onmessage = ({ data }) => current?.receive(data);
    });
  }
  await ready;
  if (context.state === "suspended") await context.resume();
}

// Makes ready what plays, so that the first sound need not wait for it. What fails here fails again
// when something is to be played, and is told then.
export function prepare(rate) {
  start(rate).catch(() => {});
}

const tell = (what, more = {}) => node?.port.postMessage({ do: what, ...more });

// The sound of one take. `onchange` is called with what it does and the second that is heard.
export class Sound {
  constructor(rate, onchange) {
    this.rate = rate;
    this.onchange = onchange;
    this.blocks = [];
    this.length = 0;
    this.complete = false;
    this.second = 0;
    this.state = "paused";
    this.gaps = 0;
  }

  static of(pcm, rate, onchange) {
    const sound = new Sound(rate, onchange);
    sound.add(pcm);
    sound.finish();
    return sound;
  }

  get seconds() {
    return this.length / this.rate;
  }

  get isPlaying() {
    return this.state === "playing" || this.state === "waiting";
  }

  // All samples so far, 16 bit.
  get pcm() {
    if (this.blocks.length > 1) {
      const whole = new Int16Array(this.length);
      let at = 0;
      for (const block of this.blocks) {
        whole.set(block, at);
        at += block.length;
      }
      this.blocks = [whole];
    }
    return this.blocks[0] ?? new Int16Array(0);
  }

  add(block) {
    this.blocks.push(block);
    this.length += block.length;
    if (current === this) tell("add", { samples: toFloats(block) });
  }

  finish() {
    this.complete = true;
    if (current === this) tell("finish");
  }

  async play(second = this.second, until = undefined) {
    if (this.complete && second >= this.seconds - 0.02) second = 0;
    this.state = "playing";
    this.onchange("playing", second);
    starting = this;
    try {
      await start(this.rate);
    } catch (error) {
      this.interrupt();
      throw error;
    } finally {
      if (starting === this) starting = null;
    }
    if (this.state !== "playing") return; // paused meanwhile
    if (current !== this) {
      current?.interrupt();
      current = this;
      tell("reset");
      for (const block of this.blocks) tell("add", { samples: toFloats(block) });
      if (this.complete) tell("finish");
    }
    this.second = second;
    const range = { at: Math.round(second * this.rate) };
    if (until !== undefined) range.until = Math.round(until * this.rate);
    tell("play", range);
  }

  pause() {
    if (current === this) tell("pause");
    this.interrupt();
  }

  seek(second) {
    this.second = Math.min(Math.max(0, second), this.seconds);
    if (this.isPlaying) this.play(this.second);
    else this.onchange("at", this.second);
  }

  interrupt() {
    this.state = "paused";
    this.onchange("paused", this.second);
  }

  receive({ what, at, gaps }) {
    this.gaps = gaps;
    const late = what === "ended" ? 0 : (context.outputLatency || 0);
    this.second = Math.max(0, at / this.rate - late);
    if (what === "ended" || what === "paused") this.state = "paused";
    else if (what === "waiting" || what === "playing") this.state = what;
    this.onchange(what, this.second);
  }
}

export function stopAll() {
  for (const sound of [starting, current]) if (sound?.isPlaying) sound.pause();
}

export function toFloats(pcm) {
  const floats = new Float32Array(pcm.length);
  for (let index = 0; index < pcm.length; index++) floats[index] = pcm[index] / 32768;
  return floats;
}

// Plays samples while more of them come. Positions are in samples from the beginning.

const REPORT = 1024; // samples between two reports of the position

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.reset();
    this.port.onmessage = ({ data }) => this[data.do](data);
  }

  reset() {
    this.samples = new Float32Array(1 << 16);
    this.length = 0;
    this.at = 0;
    this.until = Infinity;
    this.playing = false;
    this.complete = false;
    this.gain = 0; // follows `playing` within a block, so that nothing clicks
    this.reported = 0;
    this.gaps = 0; // blocks of silence that were played because nothing had come
  }

  add({ samples }) {
    if (this.length + samples.length > this.samples.length) {
      const grown = new Float32Array(Math.max(2 * this.samples.length, this.length + samples.length));
      grown.set(this.samples.subarray(0, this.length));
      this.samples = grown;
    }
    this.samples.set(samples, this.length);
    this.length += samples.length;
  }

  finish() {
    this.complete = true;
  }

  play({ at, until }) {
    if (at !== undefined) this.at = at;
    this.until = until ?? Infinity;
    this.playing = true;
    this.waiting = false;
  }

  pause() {
    this.playing = false;
    this.report("paused");
  }

  report(what) {
    this.port.postMessage({ what, at: this.at, gaps: this.gaps });
  }

  process(_inputs, [[output]]) {
    const end = Math.min(this.length, this.until);
    const target = this.playing ? 1 : 0;
    if (!target && !this.gain) return true;
    const step = (target - this.gain) / output.length;
    let gain = this.gain;
    const began = this.at;
    for (let index = 0; index < output.length && this.at < end; index++) {
      gain += step;
      output[index] = this.samples[this.at++] * gain;
    }
    this.gain = target;
    if (!this.playing) return true;
    if (this.at >= end && (this.complete || this.at >= this.until)) {
      this.playing = false;
      this.gain = 0;
      this.report("ended");
    } else if (this.at - began < output.length) {
      if (!this.waiting) this.report("waiting");
      this.waiting = true;
      if (began > 0) this.gaps++;
    } else {
      if (this.waiting) this.report("playing");
      this.waiting = false;
      if (Math.abs(this.at - this.reported) >= REPORT) {
        this.reported = this.at;
        this.report("at");
      }
    }
    return true;
  }
}

registerProcessor("valle-player", Player);

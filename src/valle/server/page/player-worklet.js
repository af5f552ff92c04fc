// Plays samples while more of them come. Positions are in samples from the beginning.

const REPORT = 1024; // samples between two reports of the position
const REFILL = 0.5; // seconds that have to be there to go on, once nothing was left
const MOST_REFILL = 8; // of them: each gap has them doubled, so that slow speech has few gaps

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.reset();
    this.port.onmessage = ({ data }) => this[data.do](data);
  }

  reset() {
    this.blocks = []; // {start, samples}: to join them takes longer than there is time on this thread
    this.block = 0; // the one that was read last
    this.length = 0;
    this.at = 0;
    this.until = Infinity;
    this.playing = false;
    this.waiting = false;
    this.complete = false;
    this.refill = REFILL;
    this.gain = 0; // follows `playing` within a block, so that nothing clicks
    this.reported = 0;
    this.gaps = 0; // blocks of silence that were played because nothing had come
  }

  add({ samples }) {
    this.blocks.push({ start: this.length, samples });
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
    if (this.waiting && this.playing) {
      if (!this.complete && this.length < Math.min(this.until, this.at + this.refill * sampleRate)) {
        this.gaps++;
        return true;
      }
      this.waiting = false;
      this.refill = Math.min(2 * this.refill, MOST_REFILL);
      this.gain = 0;
      this.report("playing");
    }
    const target = this.playing ? 1 : 0;
    if (!target && !this.gain) return true;
    const count = this.read(output, Math.min(this.length, this.until));
    const step = (target - this.gain) / output.length;
    for (let index = 0; index < count; index++) output[index] *= this.gain + (index + 1) * step;
    this.gain = target;
    if (this.playing) this.follow(count === output.length);
    return true;
  }

  // Puts samples up to `end` into the output, and returns how many.
  read(output, end) {
    let count = 0;
    while (count < output.length && this.at < end) {
      const { start, samples } = this.find(this.at);
      const from = this.at - start;
      const part = Math.min(output.length - count, end - this.at, samples.length - from);
      output.set(samples.subarray(from, from + part), count);
      count += part;
      this.at += part;
    }
    return count;
  }

  find(at) {
    if (this.blocks[this.block]?.start > at) this.block = 0;
    while (at >= this.blocks[this.block].start + this.blocks[this.block].samples.length) this.block++;
    return this.blocks[this.block];
  }

  follow(isFull) {
    if (this.at >= Math.min(this.length, this.until) && (this.complete || this.at >= this.until)) {
      this.playing = false;
      this.gain = 0;
      this.report("ended");
    } else if (!isFull) {
      this.waiting = true;
      this.gaps++;
      this.report("waiting");
    } else if (Math.abs(this.at - this.reported) >= REPORT) {
      this.reported = this.at;
      this.report("at");
    }
  }
}

registerProcessor("valle-player", Player);

// The picture of a sound: its waveform above its spectrogram, drawn while it comes.

const SIZE = 512; // samples of a spectrum: 32 ms at 16 kHz
const HOP = 160; // samples between two spectra
const FLOOR = -75; // dB, as light as the background
const CEILING = -12;
const WIDTH = 1200; // pixels that are drawn, whatever the screen shows
const WAVE = 96;
const SPECTRUM = 128;

const WINDOW = Float32Array.from({ length: SIZE }, (_, index) => 0.5 - 0.5 * Math.cos((2 * Math.PI * index) / SIZE));
const TURNS = Float32Array.from({ length: SIZE / 2 }, (_, index) => (-2 * Math.PI * index) / SIZE);
const COSINE = TURNS.map(Math.cos);
const SINE = TURNS.map(Math.sin);

// In place, decimation in time (Cooley and Tukey 1965).
function transform(real, imaginary) {
  for (let index = 1, reversed = 0; index < SIZE; index++) {
    let bit = SIZE >> 1;
    for (; reversed & bit; bit >>= 1) reversed ^= bit;
    reversed ^= bit;
    if (index < reversed) {
      [real[index], real[reversed]] = [real[reversed], real[index]];
      [imaginary[index], imaginary[reversed]] = [imaginary[reversed], imaginary[index]];
    }
  }
  for (let size = 2; size <= SIZE; size *= 2) {
    const half = size / 2;
    for (let start = 0; start < SIZE; start += size) {
      for (let offset = 0; offset < half; offset++) {
        const turn = (offset * SIZE) / size;
        const low = start + offset;
        const high = low + half;
        const x = real[high] * COSINE[turn] - imaginary[high] * SINE[turn];
        const y = real[high] * SINE[turn] + imaginary[high] * COSINE[turn];
        real[high] = real[low] - x;
        imaginary[high] = imaginary[low] - y;
        real[low] += x;
        imaginary[low] += y;
      }
    }
  }
}

// Decibels of a spectrum, [SIZE / 2], of the samples around a place.
function measure(pcm, at, real, imaginary, decibels) {
  for (let index = 0; index < SIZE; index++) {
    real[index] = ((pcm[at + index] ?? 0) / 32768) * WINDOW[index];
  }
  imaginary.fill(0);
  transform(real, imaginary);
  for (let bin = 0; bin < SIZE / 2; bin++) {
    const power = real[bin] ** 2 + imaginary[bin] ** 2;
    decibels[bin] = 10 * Math.log10((16 * power) / SIZE ** 2 + 1e-12);
  }
}

export class Picture {
  // `onseek` is called with the share of the whole, 0 to 1, that was clicked on.
  constructor(onseek) {
    this.canvas = document.createElement("canvas");
    this.canvas.width = WIDTH;
    this.canvas.height = WAVE + SPECTRUM;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Waveform and spectrogram of the speech");
    this.cursor = document.createElement("div");
    this.cursor.className = "cursor";
    this.root = document.createElement("div");
    this.root.className = "picture";
    this.root.append(this.canvas, this.cursor);
    this.root.addEventListener("pointerdown", (event) => {
      const box = this.root.getBoundingClientRect();
      onseek((event.clientX - box.left) / box.width);
    });
    this.asked = 0;
    this.pause = 30;
  }

  // Draws as soon as there is time; of several calls, the last one counts.
  draw(sound, expectedSeconds = 0) {
    this.sound = sound;
    this.length = Math.max(sound.length, Math.round(expectedSeconds * sound.rate), 1);
    if (!this.asked) {
      // Of the time, drawing may take a tenth.
      this.asked = setTimeout(() => {
        this.asked = 0;
        const began = performance.now();
        this.paint();
        this.pause = Math.max(120, 10 * (performance.now() - began));
      }, this.pause);
    }
  }

  move(second) {
    if (!this.sound) return;
    this.cursor.style.left = `${(100 * second * this.sound.rate) / this.length}%`;
  }

  paint() {
    const pcm = this.sound.pcm;
    const style = getComputedStyle(this.root);
    const accent = parseColor(style.getPropertyValue("--wave"));
    const ground = parseColor(style.getPropertyValue("--picture"));
    const pen = this.canvas.getContext("2d");
    const picture = pen.createImageData(WIDTH, WAVE + SPECTRUM);
    const pixels = new Uint32Array(picture.data.buffer);
    const shades = mix(ground, accent);
    pixels.fill(shades[0]);
    const real = new Float32Array(SIZE);
    const imaginary = new Float32Array(SIZE);
    const decibels = new Float32Array(SIZE / 2);
    const perPixel = this.length / WIDTH;
    for (let x = 0; x < WIDTH; x++) {
      const from = Math.floor(x * perPixel);
      if (from >= pcm.length) break;
      const to = Math.min(pcm.length, Math.max(from + 1, Math.floor((x + 1) * perPixel)));
      let low = 0;
      let high = 0;
      for (let index = from; index < to; index += Math.max(1, (to - from) >> 9)) {
        low = Math.min(low, pcm[index]);
        high = Math.max(high, pcm[index]);
      }
      const middle = WAVE / 2;
      const top = Math.round(middle - (high / 32768) * (middle - 4));
      const bottom = Math.round(middle - (low / 32768) * (middle - 4));
      for (let y = top; y <= bottom; y++) pixels[y * WIDTH + x] = shades[255];
      const center = Math.floor((from + to) / 2 / HOP) * HOP - SIZE / 2;
      measure(pcm, Math.max(0, center), real, imaginary, decibels);
      for (let y = 0; y < SPECTRUM; y++) {
        const bin = ((SPECTRUM - 1 - y) * SIZE) / 2 / SPECTRUM;
        const loud = Math.max(decibels[bin], decibels[bin + 1] ?? -Infinity);
        const shade = Math.round((255 * (loud - FLOOR)) / (CEILING - FLOOR));
        pixels[(WAVE + y) * WIDTH + x] = shades[Math.max(0, Math.min(255, shade))];
      }
    }
    pen.putImageData(picture, 0, 0);
  }
}

function parseColor(text) {
  const digits = text.trim().replace("#", "");
  return [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16));
}

function mix(from, to) {
  return Uint32Array.from({ length: 256 }, (_, shade) => {
    const [red, green, blue] = from.map((value, index) => Math.round(value + ((to[index] - value) * shade) / 255));
    return (255 << 24) | (blue << 16) | (green << 8) | red;
  });
}

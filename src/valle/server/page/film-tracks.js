// The sound tracks of a film, as its headers describe them: browsers do not tell.

const MOST_BYTES = 64e6; // of headers that are read
const CONTAINERS = new Set(["trak", "mdia"]);
const IDS = { segment: 0x18538067, tracks: 0x1654ae6b, entry: 0xae, kind: 0x83, language: 0x22b59c, tag: 0x22b59d, title: 0x536e };
const MACINTOSH = ["eng", "fra", "deu", "ita", "nld", "swe", "spa"]; // languages by QuickTime's numbers, from 0
const IN_MATROSKA = 4e6; // bytes at the beginning, where tracks are described

// Resolves to [{language, title}], in order, or null where the format is not known.
export async function readSounds(blob) {
  try {
    const head = await read(blob, 0, 12);
    if (head.getUint32(0) === 0x1a45dfa3) return readMatroska(await read(blob, 0, IN_MATROSKA));
    if (["ftyp", "moov", "mdat", "wide", "free"].includes(name(head, 4))) return await readMp4(blob);
  } catch {
    // cut off or damaged: the server says so, if it matters
  }
  return null;
}

async function read(blob, from, length) {
  return new DataView(await blob.slice(from, from + length).arrayBuffer());
}

const name = (view, at) => String.fromCharCode(...[0, 1, 2, 3].map((offset) => view.getUint8(at + offset)));

const isKnown = (language) => Boolean(language) && language !== "und";

// ISO 14496-12: boxes of a length and a name; `moov` may be at the end of the film.
async function readMp4(blob) {
  for (let at = 0; at < blob.size; ) {
    const box = await read(blob, at, 16);
    const isLong = box.getUint32(0) === 1;
    const size = isLong ? Number(box.getBigUint64(8)) : box.getUint32(0) || blob.size - at;
    if (name(box, 4) === "moov" && size < MOST_BYTES) return readTracks(await read(blob, at + (isLong ? 16 : 8), size - (isLong ? 16 : 8)));
    if (size < 8) return null;
    at += size;
  }
  return null;
}

function readTracks(view) {
  const sounds = [];
  let track = null;
  const walk = (from, to) => {
    for (let at = from; at + 8 <= to; ) {
      const size = view.getUint32(at);
      const kind = name(view, at + 4);
      if (size < 8) return;
      if (kind === "trak") track = { language: null, title: null };
      if (CONTAINERS.has(kind)) walk(at + 8, at + size);
      if (kind === "mdhd") {
        track.language = readLanguage(view.getUint16(at + (view.getUint8(at + 8) === 1 ? 40 : 28)));
      }
      if (kind === "hdlr" && name(view, at + 16) === "soun") sounds.push(track);
      at += size;
    }
  };
  walk(0, view.byteLength);
  return sounds;
}

// Three letters of 5 bits each; in QuickTime's own films a small number, or nothing (0x7fff).
function readLanguage(packed) {
  if (packed < 0x400) return MACINTOSH[packed] ?? null;
  const letters = [10, 5, 0].map((shift) => String.fromCharCode(0x60 + ((packed >> shift) & 31))).join("");
  return packed !== 0x7fff && isKnown(letters) ? letters : null;
}

// RFC 8794 and 9559: elements of an id and a length, both of as many bytes as their first bits say.
function readMatroska(view) {
  const sounds = [];
  const readNumber = (at, keeps) => {
    const length = Math.clz32(view.getUint8(at)) - 23;
    let value = keeps ? view.getUint8(at) : view.getUint8(at) & (0xff >> length);
    for (let index = 1; index < length; index++) value = value * 256 + view.getUint8(at + index);
    return { value, length };
  };
  const text = (from, to) => new TextDecoder().decode(new Uint8Array(view.buffer, from, to - from)).replace(/\0+$/, "");
  const walk = (from, to, track) => {
    for (let at = from; at < to; ) {
      const id = readNumber(at, true);
      const size = readNumber(at + id.length, false);
      const start = at + id.length + size.length;
      const end = Math.min(to, start + size.value);
      if (id.value === IDS.segment || id.value === IDS.tracks) walk(start, end, null);
      if (id.value === IDS.tracks) return;
      if (id.value === IDS.entry) {
        const found = { language: "eng", title: null, kind: 0 };
        walk(start, end, found);
        if (found.kind === 2) sounds.push({ language: isKnown(found.language) ? found.language : null, title: found.title });
      } else if (track && id.value === IDS.kind) track.kind = view.getUint8(start);
      else if (track && (id.value === IDS.language || id.value === IDS.tag)) track.language = text(start, end);
      else if (track && id.value === IDS.title) track.title = text(start, end);
      at = end;
    }
  };
  walk(0, view.byteLength, null);
  return sounds;
}

// The language of a track in words, or its code where the browser has no words for it.
export function describeSound({ language, title }, number) {
  let words = language ?? "unknown language";
  try {
    if (language) words = new Intl.DisplayNames("en", { type: "language" }).of(language);
  } catch {
    // not a code of a language
  }
  return `${number}: ${words}${title ? `, ${title}` : ""}`;
}

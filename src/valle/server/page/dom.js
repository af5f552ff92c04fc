// Small helpers to build the page: elements, icons, messages, dialogs. Texts are never parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M6 4.5h4.2v15H6zM13.8 4.5H18v15h-4.2z",
  stop: "M6 6h12v12H6z",
  redo: "M12 5a7 7 0 1 0 6.7 9h-2.2A5 5 0 1 1 12 7c1.3 0 2.5.5 3.4 1.4L13 11h7V4l-2.9 2.9A7 7 0 0 0 12 5z",
  edit: "M4 16.8V20h3.2L17.6 9.6l-3.2-3.2zM19.9 7.3a1 1 0 0 0 0-1.4l-1.8-1.8a1 1 0 0 0-1.4 0l-1.3 1.3 3.2 3.2z",
  trash: "M7 20a1.5 1.5 0 0 1-1.5-1.4L4.7 8h14.6l-.8 10.6A1.5 1.5 0 0 1 17 20zM9 4h6l1 1.5h4V7H4V5.5h4z",
  mic: "M12 15a3 3 0 0 0 3-3V6a3 3 0 0 0-6 0v6a3 3 0 0 0 3 3zm5.5-3a5.5 5.5 0 0 1-11 0H4.8a7.2 7.2 0 0 0 6.3 7.1V22h1.8v-2.9a7.2 7.2 0 0 0 6.3-7.1z",
  plus: "M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z",
  down: "M11 4h2v9l3.5-3.5 1.4 1.4L12 16.8l-5.9-5.9 1.4-1.4L11 13zM5 18h14v2H5z",
  check: "M9.5 17.3 4.7 12.5l1.4-1.4 3.4 3.4 8.4-8.4 1.4 1.4z",
  alert: "M12 3 1.8 20.5h20.4zM11 10h2v5h-2zm0 6.5h2v2h-2z",
  wave: "M4 10h2v4H4zm4-4h2v12H8zm4-3h2v18h-2zm4 5h2v8h-2zm4 3h2v4h-2z",
  cut: "M7 4a3 3 0 1 0 1.800 5.400L10.600 12l-1.800 2.600a3 3 0 1 0 1.600 1.200L20 4.500h-2.600L12 10.200l-2-2.800A3 3 0 0 0 7 4zm0 1.800a1.200 1.200 0 1 1 0 2.400 1.200 1.200 0 0 1 0-2.400zm0 10a1.200 1.200 0 1 1 0 2.400 1.200 1.200 0 0 1 0-2.400zM14.200 13l-1.500 1.600 4.700 4.900H20z",
  film: "M4 4.500h16v15H4zm2 2v2h2v-2zm0 4v3h2v-3zm0 5v2h2v-2zm10-9v2h2v-2zm0 4v3h2v-3zm0 5v2h2v-2zm-6-9v11h4v-11z",
  shield: "M12 2.5 4.5 5.3v6c0 4.7 3.1 8.6 7.5 10.2 4.4-1.6 7.5-5.5 7.5-10.2v-6zm-1.2 13.3-3.3-3.3 1.4-1.4 1.9 1.9 4.3-4.3 1.4 1.4z",
  book: "M5 4.5A2.5 2.5 0 0 1 7.5 2H19v16H7.5a.9.9 0 0 0 0 2H19v2H7.5A2.5 2.5 0 0 1 5 19.500zM9 6v1.800h7V6z",
  pen: "M3.500 19.500h17V21h-17zM5 14.800V18h3.200l8.900-8.900-3.200-3.200zM19.400 6.800a1 1 0 0 0 0-1.400l-1.800-1.800a1 1 0 0 0-1.400 0L14.900 4.900l3.200 3.200z",
  theme: "M12 3a9 9 0 1 0 0 18zm0 0a9 9 0 0 1 0 18v-2.200a6.800 6.800 0 0 0 0-13.600z",
  close: "m6.400 5 5.600 5.600L17.600 5 19 6.400 13.400 12l5.600 5.600-1.400 1.400-5.600-5.600L6.400 19 5 17.600l5.600-5.600L5 6.400z",
  back: "m14.500 5 1.400 1.400L10.300 12l5.600 5.600-1.400 1.400L7.500 12z",
  people: "M8.500 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zm7.500 0a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2 19v-1.500C2 14.500 5 13 8.500 13s6.500 1.500 6.500 4.500V19zm15 0v-1.500c0-1.600-.7-2.900-1.800-3.800l.8-.1c3 0 6 1.200 6 4V19z",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}

// Properties that begin with "on" are listeners, "data" is an object; the others are attributes,
// left out when null or false.
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (["value", "checked", "disabled", "hidden"].includes(name)) element[name] = value;
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return element;
}

export function button(label, { icon: name, kind = "", ...properties } = {}) {
  const content = name ? [icon(name), el("span", {}, label)] : [el("span", {}, label)];
  return el("button", { type: "button", class: `button ${kind}`, ...properties }, content);
}

// A button that shows an icon alone; its label is read out and shown on hovering.
export function iconButton(label, name, properties = {}) {
  const kind = properties.class ?? "";
  return el(
    "button",
    { type: "button", "aria-label": label, title: label, ...properties, class: `icon-button ${kind}` },
    icon(name),
  );
}

export function relabel(control, label, name) {
  control.setAttribute("aria-label", label);
  control.title = label;
  control.replaceChildren(icon(name));
}

export function field(label, control, hint = "") {
  control.id ||= `field-${Math.random().toString(36).slice(2)}`;
  const note = hint ? el("p", { class: "hint", id: `${control.id}-hint` }, hint) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control, note);
}

export function notice(kind, title, ...content) {
  const name = { good: "check", warn: "alert", bad: "alert", plain: "shield" }[kind];
  return el(
    "div",
    { class: `notice ${kind}` },
    icon(name),
    el("div", {}, title ? el("p", { class: "notice-title" }, title) : null, content),
  );
}

// Says something to screen readers.
export function announce(text) {
  const region = document.getElementById("live");
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text));
}

let toastTimer = 0;

export function toast(text, kind = "plain") {
  const place = document.getElementById("toast");
  clearTimeout(toastTimer);
  const close = iconButton("Close this message", "close", { onclick: () => place.replaceChildren() });
  place.replaceChildren(el("div", { class: `toast ${kind}` }, el("p", {}, text), close));
  if (kind !== "bad") toastTimer = setTimeout(() => place.replaceChildren(), 6000);
}

export function hideToast() {
  document.getElementById("toast").replaceChildren();
}

export function fail(error) {
  if (error?.name === "AbortError") return;
  if (!error?.isExpected) console.warn(error);
  toast(error?.message || String(error), "bad");
}

// Loads a style sheet of a part of the page, once.
export function useStyle(name) {
  const href = `/page/${name}`;
  if (document.querySelector(`link[href="${href}"]`)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const link = el("link", { rel: "stylesheet", href, onload: resolve, onerror: () => reject(new Error("A part of this page could not be loaded; reload it.")) });
    document.head.append(link);
  });
}

// Opens a dialog; resolves with what `close` is called with, or null when it is dismissed.
export function ask(title, build) {
  return new Promise((resolve) => {
    const dialog = el("dialog", { "aria-labelledby": "dialog-title" });
    let answer = null;
    const close = (value = null) => {
      answer = value;
      dialog.close();
    };
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    dialog.append(
      el(
        "div",
        { class: "dialog-head" },
        el("h2", { id: "dialog-title" }, title),
        iconButton("Close", "close", { onclick: () => close() }),
      ),
      build(close),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function confirmAction(title, text, label) {
  return ask(title, (close) =>
    el(
      "div",
      {},
      el("p", {}, text),
      el(
        "div",
        { class: "actions" },
        button("Cancel", { onclick: () => close(false) }),
        button(label, { kind: "danger", onclick: () => close(true) }),
      ),
    ),
  );
}

export function askName(title, label, value, action) {
  return ask(title, (close) => {
    const input = el("input", { value, maxlength: 64, required: true, autocomplete: "off" });
    return el(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          close(input.value.trim());
        },
      },
      field(label, input),
      el(
        "div",
        { class: "actions" },
        button("Cancel", { onclick: () => close() }),
        el("button", { class: "button primary" }, action),
      ),
    );
  });
}

export function download(content, name, type = "application/octet-stream") {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// A place to drop a file on, or to choose one.
export function dropZone(label, hint, accept, take) {
  const input = el("input", { type: "file", accept, class: "visually-hidden", "aria-label": label });
  const zone = el(
    "label",
    { class: "drop" },
    input,
    icon("down"),
    el("span", { class: "drop-label" }, label),
    el("span", { class: "hint" }, hint),
  );
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (file) take(file);
  });
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
  return zone;
}

export function formatTime(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function formatTenths(seconds) {
  const tenths = Math.max(0, Math.round(seconds * 10));
  return `${formatTime(tenths / 10)}.${tenths % 10}`;
}

export function formatLength(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export function formatDay(moment) {
  return new Date(moment).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

export function shorten(text, length = 90) {
  const plain = text.replace(/\s+/g, " ").trim();
  return plain.length <= length ? plain : `${plain.slice(0, length - 1)}…`;
}

export function fileName(text, ending) {
  const words = text.normalize("NFKD").replace(/[^\w\s-]/g, "").trim().split(/\s+/).slice(0, 6);
  return `${words.join("-").toLowerCase() || "speech"}.${ending}`;
}

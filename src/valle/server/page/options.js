// Options that the server tells of and the page has no place of its own for.

import { capitalize } from "./api.js";
import { el, field } from "./dom.js";

// Of speech: those with a place of their own, and those that nobody chooses by hand here.
const OF_SPEECH = {
  left: "seed speed lexicon redo temperature top_p duration best_of retries pause plain ssml".split(" "),
};
const MOST_STEPS = 250; // of a slider

// Takes the JSON schema of options, and those that are `chosen`. Returns fields, and a function that
// returns what was chosen. `left` are the names of options that are left out, `first` has values
// that are shown when an option without a default is switched on.
export function buildOptions(schema, chosen, onchange, { left, first = {} } = OF_SPEECH) {
  const properties = Object.fromEntries(Object.entries(schema.properties).filter(([name]) => !left.includes(name)));
  const group = buildGroup(schema, properties, chosen, { onchange, first });
  return { fields: group.fields, values: () => group.read() ?? {} };
}

function buildGroup(schema, properties, chosen, context) {
  const controls = [];
  const fields = [];
  for (const [name, described] of Object.entries(properties)) {
    const label = capitalize(name.replaceAll("_", " "));
    const control = buildControl(schema, described, chosen?.[name], { ...context, name, label });
    if (!control) continue;
    controls.push([name, control]);
    fields.push(control.fields ?? control.field);
  }
  const read = () => {
    const given = controls.map(([name, control]) => [name, control.read()]).filter(([, value]) => value !== null);
    return given.length ? Object.fromEntries(given) : null;
  };
  return { fields, read };
}

function buildControl(schema, described, value, context) {
  const kinds = [described, ...(described.anyOf ?? [])].map((kind) =>
    kind.$ref ? schema.$defs[kind.$ref.split("/").at(-1)] : kind,
  );
  const nested = kinds.find((kind) => kind.properties);
  if (nested) {
    const group = buildGroup(schema, nested.properties, value, context);
    return group.fields.length ? group : null;
  }
  const hint = capitalize(described.description ?? "");
  const choices = kinds.find((kind) => kind.enum)?.enum;
  if (choices) return buildChoice(choices, value, { ...context, hint });
  if (described.type === "boolean") return buildTick(value ?? described.default, { ...context, hint });
  const range = kinds.find((kind) => ["number", "integer"].includes(kind.type));
  const low = range?.minimum ?? range?.exclusiveMinimum;
  const high = range?.maximum ?? range?.exclusiveMaximum;
  if (low === undefined || high === undefined) return null;
  const step = range.type === "integer" ? 1 : [0.01, 0.05, 0.1, 0.5, 1].find((one) => (high - low) / one <= MOST_STEPS);
  return buildRange({ low, high, step, usual: described.default }, value, { ...context, hint });
}

function buildChoice(choices, value, { label, hint, onchange }) {
  const element = el(
    "select",
    { onchange },
    el("option", { value: "" }, "As recorded"),
    choices.map((choice) => el("option", { value: choice, selected: choice === value }, capitalize(String(choice)))),
  );
  return { field: field(label, element, hint), read: () => element.value || null };
}

function buildTick(value, { label, hint, onchange }) {
  const element = el("input", { type: "checkbox", checked: value, onchange });
  const built = field(label, element, hint);
  built.classList.add("switch");
  return { field: built, read: () => element.checked || null };
}

// Until it is moved, the option is not sent; one without a default is switched on first.
function buildRange({ low, high, step, usual }, value, { name, label, hint, first, onchange }) {
  const isOptional = usual === null;
  let moved = value !== undefined;
  const shown = el("output", { class: "soft" });
  const element = el("input", {
    type: "range",
    min: low,
    max: high,
    step: step ?? (high - low) / 40,
    value: value ?? usual ?? first[name] ?? (low + high) / 2,
    disabled: isOptional && !moved,
    oninput: () => {
      moved = true;
      show();
      onchange();
    },
  });
  const show = () => (shown.textContent = element.disabled ? "off" : String(Number(element.value)));
  show();
  const built = field(label, element, hint);
  const head = built.querySelector("label");
  if (isOptional) {
    const tick = el("input", {
      type: "checkbox",
      checked: moved,
      "aria-label": label,
      onchange: () => {
        moved = tick.checked;
        element.disabled = !moved;
        show();
        onchange();
      },
    });
    built.prepend(el("div", { class: "row between" }, el("span", { class: "row" }, tick, head), shown));
  } else {
    built.prepend(el("div", { class: "row between" }, head, shown));
  }
  return { field: built, read: () => (moved ? Number(element.value) : null) };
}

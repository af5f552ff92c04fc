// Options of speech that the server tells of and the page has no place of its own for.

import { capitalize } from "./api.js";
import { el, field } from "./dom.js";

// Those with a place of their own, and those that nobody chooses by hand here.
const ELSEWHERE = new Set(
  "seed speed lexicon redo temperature top_p duration best_of retries pause plain ssml".split(" "),
);

// Takes the JSON schema of the options. Returns fields, and a function that returns what was chosen.
export function buildOptions(schema, chosen, onchange) {
  const group = buildGroup(schema, schema.properties, chosen, onchange);
  return { fields: group.fields, values: () => group.read() ?? {} };
}

function buildGroup(schema, properties, chosen, onchange) {
  const controls = [];
  const fields = [];
  for (const [name, described] of Object.entries(properties)) {
    if (ELSEWHERE.has(name)) continue;
    const control = buildControl(schema, described, chosen?.[name], onchange);
    if (!control) continue;
    controls.push([name, control]);
    const label = capitalize(name.replaceAll("_", " "));
    fields.push(control.fields ?? field(label, control.element, capitalize(described.description ?? "")));
  }
  const read = () => {
    const given = controls.map(([name, control]) => [name, control.read()]).filter(([, value]) => value !== null);
    return given.length ? Object.fromEntries(given) : null;
  };
  return { fields, read };
}

function buildControl(schema, described, value, onchange) {
  const kinds = [described, ...(described.anyOf ?? [])].map((kind) =>
    kind.$ref ? schema.$defs[kind.$ref.split("/").at(-1)] : kind,
  );
  const nested = kinds.find((kind) => kind.properties);
  if (nested) {
    const group = buildGroup(schema, nested.properties, value, onchange);
    return group.fields.length ? group : null;
  }
  const choices = kinds.find((kind) => kind.enum)?.enum;
  if (choices) return buildChoice(choices, value, onchange);
  const range = kinds.find((kind) => ["number", "integer"].includes(kind.type));
  const low = range?.minimum ?? range?.exclusiveMinimum;
  const high = range?.maximum ?? range?.exclusiveMaximum;
  if (low === undefined || high === undefined) return null;
  return buildRange({ low, high, whole: range.type === "integer", usual: described.default }, value, onchange);
}

function buildChoice(choices, value, onchange) {
  const element = el(
    "select",
    { onchange },
    el("option", { value: "" }, "As recorded"),
    choices.map((choice) => el("option", { value: choice, selected: choice === value }, capitalize(String(choice)))),
  );
  return { element, read: () => element.value || null };
}

// Until it is moved, the option is not sent.
function buildRange({ low, high, whole, usual }, value, onchange) {
  let moved = value !== undefined;
  const element = el("input", {
    type: "range",
    min: low,
    max: high,
    step: whole ? 1 : (high - low) / 40,
    value: value ?? usual ?? (low + high) / 2,
    oninput: () => {
      moved = true;
      onchange();
    },
  });
  return { element, read: () => (moved ? Number(element.value) : null) };
}

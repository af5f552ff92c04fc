// What this browser keeps: takes with their sound, projects, recordings and films with what became
// of them, the pronunciation of words.

const NAME = "valle-studio";
const STORES = ["takes", "sound", "projects", "edits", "dubs", "files"];
const VERSION = 2; // of the stores: one more whenever there is a new one
const MOST_TAKES = 200;

let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, VERSION);
    asked.onupgradeneeded = () => {
      const there = asked.result.objectStoreNames;
      STORES.filter((name) => !there.contains(name)).forEach((name) => asked.result.createObjectStore(name, { keyPath: "id" }));
    };
    asked.onsuccess = () => {
      asked.result.onversionchange = () => asked.result.close(); // so that a later version can open it
      resolve(asked.result);
    };
    asked.onblocked = () => reject(new Error("Another tab has an older version of this page; close or reload it, then reload this one."));
    asked.onerror = () => reject(new Error("This browser keeps nothing here (private window?), so your history is lost when you leave."));
  });
  return opened;
}

async function run(store, mode, act) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(store, mode);
    const asked = act(transaction.objectStore(store));
    transaction.oncomplete = () => resolve(asked.result);
    transaction.onabort = () => reject(new Error("This browser has no room left; delete some of your history."));
  });
}

export const put = (store, value) => run(store, "readwrite", (objects) => objects.put(value));
export const get = (store, id) => run(store, "readonly", (objects) => objects.get(id));
export const remove = (store, id) => run(store, "readwrite", (objects) => objects.delete(id));

// All of a store, the newest first.
export async function list(store) {
  const all = await run(store, "readonly", (objects) => objects.getAll());
  return all.sort((a, b) => b.created - a.created);
}

export async function saveTake({ pcm, ...take }) {
  await put("sound", { id: take.id, pcm });
  await put("takes", take);
  for (const old of (await list("takes")).slice(MOST_TAKES)) await removeTake(old.id);
}

export async function loadTake(id) {
  const [take, sound] = await Promise.all([get("takes", id), get("sound", id)]);
  return take && sound ? { ...take, pcm: sound.pcm } : null;
}

export async function removeTake(id) {
  await remove("takes", id);
  await remove("sound", id);
}

export const newId = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;

// Small things that should be there at once.
export function recall(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`valle-${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`valle-${name}`, JSON.stringify(value));
  } catch {
    // no room, or a private window: it is only a convenience
  }
}

// What is being written. Each tab has its own; a new tab begins with what was written last.
export function recallDraft(otherwise) {
  try {
    const own = sessionStorage.getItem("valle-draft");
    if (own) return JSON.parse(own);
  } catch {
    // as in a browser that keeps nothing
  }
  return recall("draft", otherwise);
}

export function rememberDraft(draft) {
  remember("draft", draft);
  try {
    sessionStorage.setItem("valle-draft", JSON.stringify(draft));
  } catch {
    // no room: the one of all tabs is there
  }
}

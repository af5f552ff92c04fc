"""What `studio.py` presses: the page of a server, whose player is listened to block by block."""

from __future__ import annotations

import json
from typing import Any

from load_clients import ROOT, Server

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    f"--use-file-for-fake-audio-capture={ROOT / 'examples' / 'voice.wav'}",
)
_REGISTERED = 'registerProcessor("valle-player", Player);'
_TAP = """
registerProcessor("valle-player", class extends Player {
  reset() {
    super.reset();
    Object.assign(this, { isHeard: false, waits: 0, least: Infinity });
  }
  process(inputs, outputs) {
    const { playing, waiting } = this;
    const goesOn = super.process(inputs, outputs);
    const tell = (tap) => {
      const { gaps, waits, at } = this;
      const least = this.least === Infinity ? null : this.least;
      this.port.postMessage({ tap, time: Date.now(), gaps, waits, least, at, rate: sampleRate });
    };
    if (!this.isHeard && outputs[0][0].some((sample) => sample !== 0)) {
      this.isHeard = true;
      tell("heard");
    }
    if (this.waiting && !waiting) this.waits++;
    if (this.playing && !this.complete && this.at > 2 * sampleRate)
      this.least = Math.min(this.least, (this.length - this.at) / sampleRate);
    if (playing && !this.playing) tell("ended");
    if (this.wasPlaying && !this.playing && !this.gain && !playing) tell("silent");
    this.wasPlaying = this.playing || this.gain > 0;
    return goesOn;
  }
});
"""
_LISTENERS = """
((registered, tap) => {
  window.bench = { events: [], tasks: [] };
  if (!window.AudioWorklet) return; // about:blank
  const Node = window.AudioWorkletNode;
  window.AudioWorkletNode = class extends Node {
    constructor(...given) {
      super(...given);
      this.port.addEventListener("message", (event) => {
        if (!event.data.tap) return;
        event.stopImmediatePropagation();
        bench.events.push(event.data);
      });
    }
  };
  const { addModule } = AudioWorklet.prototype;
  AudioWorklet.prototype.addModule = async function (url) {
    const text = await (await fetch(url)).text();
    if (!text.includes("valle-player")) return addModule.call(this, url);
    if (!text.includes(registered)) throw new Error("the player has changed: see _REGISTERED");
    const tapped = new Blob([text.replace(registered, tap)], { type: "text/javascript" });
    return addModule.call(this, URL.createObjectURL(tapped));
  };
  const note = (tap, time = performance.now()) => {
    bench.events.push({ tap, time: performance.timeOrigin + time });
  };
  addEventListener("pointerdown", (event) => note("pressed", event.timeStamp), true);
  const { fetch } = window;
  window.fetch = async (...given) => {
    const isSpeech = given[0] === "/v1/studio/speech";
    if (isSpeech) note("asked");
    const answer = await fetch(...given);
    if (isSpeech) note("answered");
    return answer;
  };
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) bench.tasks.push(duration);
  }).observe({ type: "longtask", buffered: true });
})
"""


class Studio:
    """The page of a server, with its player listened to."""

    def __init__(self, browser: Any, server: Server) -> None:
        self.server = server
        # So that the player can be the page's own with `_TAP` in its place.
        self.context = browser.new_context(permissions=["microphone"], bypass_csp=True)
        self.context.set_default_timeout(600_000)
        self.page = self.context.new_page()
        self.page.add_init_script(f"{_LISTENERS}({json.dumps(_REGISTERED)}, {json.dumps(_TAP)})")
        self.faults: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.open()

    def open(self, place: str = "") -> None:
        """Load the page, as somebody does who comes back."""
        self.page.goto("about:blank")
        self.page.goto(f"http://{self.server.url}/{place}")

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def press(self, name: str) -> None:
        """Press a button by its name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def write(self, text: str) -> None:
        """Write a text, and have it spoken."""
        self.page.get_by_label("What to say").last.fill(text)
        self.page.evaluate("() => { bench.events = []; bench.tasks = [] }")
        self.press("Speak")

    def wait(self, tap: str) -> dict[str, Any]:
        """Wait for an event of the player, or a press, and return it."""
        found = f"() => bench.events.findLast((one) => one.tap === '{tap}')"
        event: dict[str, Any] = self.page.wait_for_function(found).json_value()
        return event

    def finish(self) -> None:
        """Stop what is spoken, so that nothing is left to do."""
        self.page.keyboard.press("Escape")
        self.page.get_by_role("button", name="Speak", exact=True).wait_for()

    def measure_size(self) -> dict[str, Any]:
        """Return the nodes of the page, and the memory of its scripts."""
        session = self.context.new_cdp_session(self.page)
        session.send("Performance.enable")
        session.send("HeapProfiler.collectGarbage")
        metrics = {
            one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]
        }
        session.detach()
        return {
            "elements": self.page.evaluate("() => document.querySelectorAll('*').length"),
            "script_memory_mb": round(metrics["JSHeapUsedSize"] / 1e6, 1),
        }

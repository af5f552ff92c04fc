"use strict";
// The playing clip shows where it is in its spectrogram and lights its words; only one plays.
for (const figure of document.querySelectorAll("figure")) {
  const audio = figure.querySelector("audio");
  const image = figure.querySelector("img");
  const head = figure.querySelector(".head");
  const words = [...figure.querySelectorAll(".words button")];
  const seconds = Number(figure.dataset.seconds);
  let frame = 0;

  function show() {
    head.style.left = `${Math.min(100, (100 * audio.currentTime) / seconds)}%`;
    head.style.opacity = "1";
    for (const word of words) {
      const on = audio.currentTime >= Number(word.dataset.start) && audio.currentTime < Number(word.dataset.end);
      word.classList.toggle("on", on);
    }
    if (!audio.paused) frame = requestAnimationFrame(show);
  }

  // A file that is not loaded yet cannot be moved in: it is moved once its length is known.
  function playFrom(start) {
    if (audio.readyState > 0) audio.currentTime = start;
    else audio.addEventListener("loadedmetadata", () => { audio.currentTime = start; }, { once: true });
    audio.play();
  }

  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    cancelAnimationFrame(frame);
    show();
  });
  audio.addEventListener("seeked", show);
  image.addEventListener("click", (event) => {
    const box = image.getBoundingClientRect();
    playFrom(((event.clientX - box.left) / box.width) * seconds);
  });
  for (const word of words) word.addEventListener("click", () => playFrom(Number(word.dataset.start)));
}

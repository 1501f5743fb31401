// Moves the bar of a checkout's hold and says when the hold is over. Used on every page that shows ui.hold_bar.
// It counts from the seconds the server said were left, so a wrong clock on the device does not matter.

const EVERY = matchMedia("(prefers-reduced-motion: reduce)").matches ? 30_000 : 1_000;

function follow(hold) {
  const bar = hold.querySelector("progress");
  const ends = Date.now() + Number(hold.dataset.left) * 1000;
  const show = () => {
    const left = Math.max(0, (ends - Date.now()) / 1000);
    bar.value = left;
    if (left > 0) return;
    clearInterval(timer);
    const words = hold.querySelector("[data-hold-words]");
    if (words.textContent !== hold.dataset.over) words.textContent = hold.dataset.over;
  };
  const timer = setInterval(show, EVERY);
  // a device that slept shows the truth as soon as it is looked at
  document.addEventListener("visibilitychange", show);
}

document.querySelectorAll("[data-hold]").forEach(follow);

// Counts a deadline down in words, moves the bar of a checkout's hold and says when the hold is over.
// Used wherever ui.deadline and ui.hold_bar stand. It counts from the seconds the server said were left, so a wrong
// clock on the device does not matter.

const EVERY = matchMedia("(prefers-reduced-motion: reduce)").matches ? 30_000 : 1_000;
const LONG = 120; // minutes; the words are those of formats.time_left

function words(seconds) {
  const minutes = Math.max(1, Math.ceil(seconds / 60));
  if (minutes > LONG) return `${Math.floor(minutes / 60)} hours left`;
  return `${minutes} ${minutes === 1 ? "minute" : "minutes"} left`;
}

function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function follow(seconds, show) {
  const ends = Date.now() + Number(seconds) * 1000;
  const look = () => {
    const left = Math.max(0, (ends - Date.now()) / 1000);
    if (left === 0) clearInterval(timer);
    show(left);
  };
  const timer = setInterval(look, EVERY);
  // a device that slept shows the truth as soon as it is looked at
  document.addEventListener("visibilitychange", look);
}

function start() {
  for (const place of document.querySelectorAll("[data-left]")) {
    const seconds = place.dataset.left;
    delete place.dataset.left; // each once; htmx may bring more
    follow(seconds, (left) => write(place, words(left)));
  }
  for (const hold of document.querySelectorAll("[data-hold]")) {
    const [bar, text] = [hold.querySelector("progress"), hold.querySelector("[data-hold-words]")];
    const seconds = hold.dataset.hold;
    delete hold.dataset.hold;
    follow(seconds, (left) => {
      bar.value = left;
      if (left === 0) write(text, hold.dataset.over);
    });
  }
}

start();
document.addEventListener("htmx:after:swap", start);

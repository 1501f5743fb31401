// Says times by the viewer's own clock where that differs from the page's: an event's start beside the page's own time
// (ui.when), a deadline instead of it (ui.deadline).

function said(date, timeZone, dateStyle) {
  return new Intl.DateTimeFormat("en-GB", { dateStyle, timeStyle: "short", timeZone }).format(date);
}

// Whether the viewer's clocks show this time a second time, because they go back in that night.
function comesTwice(date) {
  const behind = (hours) => new Date(date.getTime() + hours * 3600000).getTimezoneOffset() / 60;
  const back = behind(12) - behind(-12);
  return back > 0 && (behind(back) - behind(0) === back || behind(0) - behind(-back) === back);
}

// " (BST)" where the time alone could be one of two, else nothing.
function whichOfTwo(date) {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(date);
  return comesTwice(date) ? ` (${parts.find((part) => part.type === "timeZoneName").value})` : "";
}

// The viewer's own time of a <time>; nothing where the page's says the same.
function own(time) {
  const moment = new Date(time.dateTime);
  const [mine, theirs] = [said(moment, undefined, "short"), said(moment, time.dataset.zone, "short")];
  if (mine === theirs) return "";
  const sameDay = mine.split(",")[0] === theirs.split(",")[0];
  return `${said(moment, undefined, sameDay ? undefined : "medium")}${whichOfTwo(moment)}`;
}

const done = new WeakSet(); // each once; htmx may bring more

function fresh(selector) {
  return [...document.querySelectorAll(selector)].filter((place) => !done.has(place) && done.add(place));
}

function start() {
  for (const place of fresh("[data-local-time]")) {
    const mine = own(place.previousElementSibling);
    if (mine) place.textContent += ` · ${mine} your time`;
  }
  for (const place of fresh("[data-deadline]")) {
    const time = place.querySelector("time");
    const mine = own(time);
    if (mine) [time.textContent, place.querySelector("[data-zone-name]").textContent] = [mine, "your time"];
  }
}

start();
document.addEventListener("htmx:after:swap", start);

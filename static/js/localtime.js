// Says an event's start in the viewer's own time where that differs from the page's. Used where ui.when stands.

function wallClock(date, timeZone) {
  return new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone }).format(date);
}

for (const place of document.querySelectorAll("[data-local-time]")) {
  const time = place.previousElementSibling;
  const start = new Date(time.dateTime);
  const mine = wallClock(start);
  if (mine !== wallClock(start, time.dataset.zone)) place.textContent = `That is ${mine} your time.`;
}

// Says an event's start in the viewer's own time where that differs from the page's. Used where ui.when stands.

function said(date, timeZone, dateStyle) {
  return new Intl.DateTimeFormat("en-GB", { dateStyle, timeStyle: "short", timeZone }).format(date);
}

for (const place of document.querySelectorAll("[data-local-time]")) {
  const time = place.previousElementSibling;
  const start = new Date(time.dateTime);
  const [mine, theirs] = [said(start, undefined, "short"), said(start, time.dataset.zone, "short")];
  if (mine === theirs) continue;
  const sameDay = mine.split(",")[0] === theirs.split(",")[0];
  place.textContent += ` · ${said(start, undefined, sameDay ? undefined : "medium")} your time`;
}

// Says an event's start in the viewer's own time where that differs from the page's. Used where ui.when stands.

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

for (const place of document.querySelectorAll("[data-local-time]")) {
  const time = place.previousElementSibling;
  const start = new Date(time.dateTime);
  const [mine, theirs] = [said(start, undefined, "short"), said(start, time.dataset.zone, "short")];
  if (mine === theirs) continue;
  const sameDay = mine.split(",")[0] === theirs.split(",")[0];
  place.textContent += ` · ${said(start, undefined, sameDay ? undefined : "medium")}${whichOfTwo(start)} your time`;
}

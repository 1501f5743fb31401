// The keyboard stays where it was when htmx swaps a piece of the page. Used on every page that has such pieces.
// The same thing is found again by its markup; where it is gone (a line was removed), the page's heading takes over.

let was = null;

function mark(element) {
  const bare = element.cloneNode(false);
  for (const name of ["style", "aria-disabled", "disabled", "value"]) bare.removeAttribute(name);
  return bare.outerHTML;
}

document.addEventListener("htmx:before:swap", () => {
  const focused = document.activeElement;
  was = focused && focused !== document.body ? { element: focused, mark: mark(focused) } : null;
});

document.addEventListener("htmx:finally:request", () => {
  if (!was || (was.element.isConnected && document.activeElement === was.element)) return;
  const alike = [...document.querySelectorAll(was.element.tagName)].find((one) => mark(one) === was.mark && one.checkVisibility());
  const next = was.element.isConnected ? was.element : alike || document.querySelector("h1");
  if (next?.matches("h1") && !next.hasAttribute("tabindex")) next.tabIndex = -1;
  next?.focus({ preventScroll: true });
  was = null;
});

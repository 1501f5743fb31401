// A submitted form's button says so and cannot be pressed twice. Used on every page: any form, any button[data-busy].

const sent = new WeakSet();

function rest(form, button) {
  sent.add(form);
  if (!button) return;
  button.style.minWidth = `${button.offsetWidth}px`; // the new words must not move what stands beside it
  button.dataset.words = button.textContent;
  button.textContent = button.dataset.busy || button.textContent;
  button.setAttribute("aria-disabled", "true");
}

function wake(form) {
  sent.delete(form);
  // its elements: a button at the screen's edge belongs to the form without standing in it
  for (const button of form.elements) {
    if (!button.dataset.words) continue;
    button.textContent = button.dataset.words;
    button.removeAttribute("aria-disabled");
    button.removeAttribute("data-words");
    button.style.minWidth = "";
  }
}

document.addEventListener("submit", (event) => {
  if (sent.has(event.target)) {
    event.preventDefault();
    event.stopImmediatePropagation();
    return;
  }
  rest(event.target, event.submitter);
}, { capture: true });

// the answer may have put a new form in the place of the one that was sent
document.addEventListener("htmx:after:swap", () => [...document.forms].forEach(wake));

// htmx has its answer, and the form may still be there
document.addEventListener("htmx:finally:request", (event) => {
  const form = event.target.closest?.("form");
  if (form) wake(form);
});

// back from the next page: the browser may show this one as it was left
window.addEventListener("pageshow", (event) => {
  if (event.persisted) document.querySelectorAll("form").forEach(wake);
});

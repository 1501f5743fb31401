// A submitted form's button says so and cannot be pressed twice. Used on every page: any form, any button[data-busy].

const sent = new WeakSet();
const resting = new Map(); // button → the form it sent (it may stand outside of it) and its own words
const SLOW = 4000; // milliseconds; after that a payment waits its turn in a queue, and the button says that

function rest(form, button) {
  sent.add(form);
  if (!button) return;
  const words = button.dataset.busy ? [...button.childNodes] : null;
  resting.set(button, { form, words });
  button.style.minWidth = `${button.offsetWidth}px`; // the new words must not move what stands beside it
  if (words) button.textContent = button.dataset.busy;
  button.setAttribute("aria-disabled", "true");
  if (button.dataset.slow) setTimeout(saySlow, SLOW, button);
}

function saySlow(button) {
  if (!resting.has(button)) return;
  button.textContent = button.dataset.slow;
  document.getElementById("said").textContent = button.dataset.slow;
}

function wake(form) {
  sent.delete(form);
  for (const [button, kept] of resting) {
    if (kept.form !== form) continue;
    resting.delete(button);
    // unless the answer has made another button of it
    const said = [button.dataset.busy, button.dataset.slow];
    if (kept.words && said.includes(button.textContent)) button.replaceChildren(...kept.words);
    button.removeAttribute("aria-disabled");
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
  // this button leads to another page, perhaps another site: htmx, which sends the form's other button, never sees it
  if (event.submitter?.dataset.leads !== undefined) event.stopImmediatePropagation();
}, { capture: true });

// htmx has its answer. The form may still be there, or its place was taken by another
document.addEventListener("htmx:finally:request", (event) => {
  const form = event.target.closest?.("form");
  if (form) wake(form);
  for (const kept of resting.values()) if (!kept.form.isConnected) wake(kept.form);
});

// back from the next page: the browser may show this one as it was left
window.addEventListener("pageshow", (event) => {
  if (event.persisted) document.querySelectorAll("form").forEach(wake);
});

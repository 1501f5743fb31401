// Plus and minus beside a number field, and the running total of its form. Used on the event page and in the cart.
// A field carries data-minor (price of one) and data-least; a total says data-total, data-currency, data-places.

function numberIn(input) {
  const value = Number.parseInt(input.value, 10);
  return Number.isNaN(value) ? 0 : Math.min(Math.max(value, 0), Number(input.max));
}

function step(input, by) {
  const floor = Number(input.min);
  const least = Math.max(Number(input.dataset.least), floor);
  let value = numberIn(input) + by;
  // below the smallest order there is only nothing at all
  if (value < least) value = by > 0 ? least : floor;
  input.value = Math.min(Math.max(value, floor), Number(input.max));
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

function limitButtons(stepper) {
  const input = stepper.querySelector("input");
  const value = numberIn(input);
  stepper.querySelector("[data-step='-1']").disabled = value <= Number(input.min);
  stepper.querySelector("[data-step='1']").disabled = value >= Number(input.max);
}

function inWords(minor, { currency, places }) {
  const digits = Number(places);
  const format = new Intl.NumberFormat("en", {
    style: "currency", currency, minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
  return format.format(minor / 10 ** digits);
}

function addUp(form) {
  const priced = [...form.elements].filter((field) => field.dataset.minor);
  if (!priced.length) return;
  const minor = priced.reduce((sum, input) => sum + numberIn(input) * Number(input.dataset.minor), 0);
  for (const total of document.querySelectorAll("[data-total]")) {
    if (total.form === form && total.dataset.free === undefined) total.textContent = inWords(minor, total.dataset);
  }
}

function refresh() {
  document.querySelectorAll("[data-stepper]").forEach(limitButtons);
  for (const form of document.forms) addUp(form);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-step]");
  if (button) step(button.closest("[data-stepper]").querySelector("input"), Number(button.dataset.step));
});

for (const kind of ["input", "change"]) {
  document.addEventListener(kind, (event) => {
    const stepper = event.target.closest?.("[data-stepper]");
    if (!stepper) return;
    limitButtons(stepper);
    if (event.target.form) addUp(event.target.form);
  });
}

document.addEventListener("htmx:after:swap", refresh);
// also when the browser restores what was typed
window.addEventListener("pageshow", refresh);

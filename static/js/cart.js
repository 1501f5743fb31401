// While a changed number is on its way, the checkout waits: it would charge what is not shown any more. Used in the cart.

let waiting = false;

function wait(now) {
  waiting = now;
  for (const form of document.querySelectorAll("form[action='/checkout']")) {
    for (const button of form.elements) if (button.type === "submit") button.toggleAttribute("disabled", now);
  }
}

document.addEventListener("change", (event) => {
  if (event.target.form?.matches("form[hx-trigger]")) wait(true);
});

document.addEventListener("submit", (event) => {
  if (waiting && event.target.getAttribute("action") === "/checkout") event.preventDefault();
}, { capture: true });

document.addEventListener("htmx:finally:request", () => wait(false));

"use strict";
// The two things that a page does: it opens what is folded, and hides what passed.
document.addEventListener("click", (event) => {
  const fold = event.target.closest("[data-toggle=collapse]");
  if (fold) {
    event.preventDefault();
    document.querySelector(fold.getAttribute("href")).classList.toggle("show");
  }
});
document.addEventListener("change", (event) => {
  if (event.target.name === "shown") document.body.classList.toggle("only-failed", event.target.value === "failed");
});
document.addEventListener("DOMContentLoaded", () => {
  for (const sign of document.querySelectorAll("td i.fa-check-circle")) sign.closest("tr").classList.add("passed");
  for (const table of document.querySelectorAll(".hide-succeeded-validations-column-section-target-child"))
    table.closest(".ge-section").classList.add("passed");
});

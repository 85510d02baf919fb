/* What scrolls sideways inside its own box must be reached by keyboard too; and only what does
   scroll is worth a stop of the tab key, which depends on the width of the window. */

(function () {
  "use strict";

  const BOXES = ".bd-article pre, .bd-article div.math, .bd-article div.cell_output, .bd-article table," +
    ".bd-article .pst-scrollable-table-container, mjx-container[display='true']";

  function mark() {
    for (const box of document.querySelectorAll(BOXES)) {
      const scrolls = box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX !== "visible";
      if (scrolls) box.tabIndex = 0;
      else if (box.getAttribute("tabindex") === "0") box.removeAttribute("tabindex");
    }
  }

  let waiting = 0;
  function later() {
    clearTimeout(waiting);
    waiting = setTimeout(mark, 150);
  }

  window.addEventListener("load", function () {
    mark();
    if (window.MathJax && window.MathJax.startup && window.MathJax.startup.promise) window.MathJax.startup.promise.then(mark);
  });
  window.addEventListener("resize", later);
  document.addEventListener("toggle", later, true);   // a fold that opens
})();

// The theme's buttons carry code in their markup, which a strict Content-Security-Policy forbids;
// the build leaves the name of what they call, and it is called here.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-calls]");
  const known = { print: () => window.print(), toggleFullScreen: () => window.toggleFullScreen() };
  if (button && Object.hasOwn(known, button.dataset.calls)) known[button.dataset.calls]();
});

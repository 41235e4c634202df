// Apply the theme (light, dark or that of the system) before the first paint; it is kept in this browser only.
(function () {
  "use strict";
  const names = { auto: "system", light: "light", dark: "dark" };
  const root = document.documentElement;
  let theme = "auto";
  try { theme = localStorage.getItem("theme") || "auto"; } catch { /* storage is off: the theme of the system */ }
  if (!(theme in names)) theme = "auto";

  function apply() {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const output = document.querySelector("#theme span");
    if (output) output.textContent = names[theme];
  }

  apply();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    button.hidden = false;
    apply();
    button.addEventListener("click", () => {
      const order = Object.keys(names);
      theme = order[(order.indexOf(theme) + 1) % order.length];
      try { localStorage.setItem("theme", theme); } catch { /* storage is off: this page only */ }
      apply();
    });
  });
})();

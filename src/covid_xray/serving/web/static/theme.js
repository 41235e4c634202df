// Before the first paint: say that scripts run, and apply the theme. Also what all scripts share: words and kept choices.
(function () {
  "use strict";
  const root = document.documentElement;
  root.classList.remove("no-script");

  const kept = (name, store = localStorage) => { try { return store.getItem(name); } catch { return null; } };
  const keep = (name, value, store = localStorage) => { try { store.setItem(name, value); } catch { /* this page only */ } };
  /** Return a message of the page in its language, with its %(name)s filled in. */
  function word(key, values = {}) {
    const found = document.getElementById("words")?.content.querySelector(`[data-word="${key}"]`);
    return (found ? found.textContent : key).replace(/%\((\w+)\)s/g, (_, name) => values[name] ?? "").replaceAll("%%", "%");
  }
  globalThis.shared = { kept, keep, word };

  const themes = ["system", "light", "dark"];
  let theme = kept("theme");
  if (!themes.includes(theme)) theme = "system";

  function apply() {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.querySelector("span").textContent = button.dataset[theme];
  }

  apply();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    button.hidden = false;
    apply();
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      keep("theme", theme);
      apply();
    });
  });
})();

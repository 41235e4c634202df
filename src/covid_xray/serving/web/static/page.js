// On every page: the reader's time zone, failed requests, drafts of feedback, a worklist that refreshes itself.
(function () {
  "use strict";
  const { kept, keep, word } = globalThis.shared;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const known = document.cookie.split("; ").includes(`covid-xray-zone=${encodeURIComponent(zone)}`);
  document.cookie = `covid-xray-zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=strict`;

  /** Show times in the zone of the reader, where the server did not know it yet. */
  function localTimes(root) {
    const locale = document.querySelector('meta[name="locale"]')?.content || "en-GB";
    const format = new Intl.DateTimeFormat(`${locale}-u-nu-latn`, { dateStyle: "medium", timeStyle: "short" });
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      if (!known) time.textContent = format.format(moment);
      time.title = moment.toISOString();
    }
  }

  let hide = 0;
  function notice(text, link) {
    const box = document.getElementById("notice");
    box.textContent = `${text} `;
    if (link) box.append(Object.assign(document.createElement("a"), { href: link, textContent: word("log-in") }));
    clearTimeout(hide);
    if (!link) hide = setTimeout(() => { box.textContent = ""; }, 8000);
  }

  // What was typed about a study stays in this tab until it is saved, also when the session ends meanwhile.
  function drafts() {
    const form = document.querySelector("#feedback form");
    if (!form) return;
    const { study, saved } = form.closest("#feedback").dataset, name = `draft-${study}`;
    if (saved !== undefined) sessionStorage.removeItem(name);
    const draft = JSON.parse(kept(name, sessionStorage) || "null");
    if (draft) {
      for (const box of form.querySelectorAll('[name="verdict"]')) box.checked = box.value === draft.verdict;
      if (draft.label) form.elements.label.value = draft.label;
      form.elements.note.value = draft.note;
    }
    form.addEventListener("input", () => {
      const { verdict, label, note } = form.elements;
      keep(name, JSON.stringify({ verdict: verdict.value, label: label.value, note: note.value }), sessionStorage);
    });
  }

  localTimes(document);
  drafts();
  document.addEventListener("htmx:after:swap", () => { localTimes(document); drafts(); });
  document.addEventListener("htmx:response:error", (event) => {
    const status = event.detail?.ctx?.response?.raw?.status ?? event.detail?.ctx?.response?.status;
    const here = encodeURIComponent(location.pathname + location.search);
    if (status === 401) notice(word("session-ended"), `/login?next=${here}`);
    else notice(word("refused-request"));
  });
  document.addEventListener("htmx:error", (event) => {
    if (!event.detail?.ctx?.response) notice(word("no-server"));
  });
  for (const button of document.querySelectorAll("[data-print]")) button.addEventListener("click", () => print());

  // Choosing a label selects "Correct it to".
  document.addEventListener("change", (event) => {
    const form = event.target.closest("#feedback form");
    if (form && event.target.name === "label") form.querySelector('[value="correct"]').checked = true;
    if (event.target.id === "language") event.target.form.submit();
  });

  const undo = document.getElementById("undo");
  if (undo) setTimeout(() => undo.remove(), 1000 * Number(undo.dataset.seconds));

  const refresh = document.getElementById("refresh");
  if (refresh) {
    refresh.checked = kept("refresh") !== "off";
    refresh.addEventListener("change", () => keep("refresh", refresh.checked ? "on" : "off"));
    setInterval(() => {
      const busy = document.activeElement?.closest?.("#studies");
      const list = document.getElementById("studies");
      const picking = list?.querySelector('[name="pick"]:checked');
      if (refresh.checked && !document.hidden && !busy && !picking && list) list.dispatchEvent(new Event("refresh-studies"));
    }, 10000);
  }
})();

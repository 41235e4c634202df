// On every page: show times in local time, report failed requests, refresh the worklist.
(function () {
  "use strict";

  function localTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      const two = (n) => String(n).padStart(2, "0");
      const day = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
      const local = `${day} ${two(moment.getHours())}:${two(moment.getMinutes())}`;
      if (time.textContent !== local) time.textContent = local;
      time.title = moment.toISOString();
    }
  }

  let hide = 0;
  function notice(text) {
    const box = document.getElementById("notice");
    box.textContent = text;
    clearTimeout(hide);
    hide = setTimeout(() => { box.textContent = ""; }, 8000);
  }

  localTimes(document);
  document.addEventListener("htmx:after:swap", () => localTimes(document));
  document.addEventListener("htmx:response:error", () => notice("The server refused this request. Reload the page and try again."));
  document.addEventListener("htmx:error", (event) => {
    if (!event.detail?.ctx?.response) notice("The server does not answer.");
  });
  for (const button of document.querySelectorAll("[data-print]")) button.addEventListener("click", () => print());

  // Choosing a label selects "Correct it to".
  document.addEventListener("change", (event) => {
    const form = event.target.closest("#feedback form");
    if (form && event.target.name === "label") form.querySelector('[value="correct"]').checked = true;
  });

  const refresh = document.getElementById("refresh");
  if (refresh) {
    setInterval(() => {
      const busy = document.activeElement?.closest?.("#studies");
      const list = document.getElementById("studies");
      if (refresh.checked && !document.hidden && !busy && list) list.dispatchEvent(new Event("refresh-studies"));
    }, 10000);
  }
})();

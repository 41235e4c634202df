// Leave the page when the session has ended for want of use, so that no study stays on an unattended screen.
(function () {
  "use strict";
  const idle = Number(document.querySelector('meta[name="idle-seconds"]').content);
  const again = Math.min(60, idle);

  async function check() {
    try {
      const answer = await fetch("/api/v1/me", { headers: { "X-Background": "true" } });
      if (answer.status === 401) {
        location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
        return;
      }
    } catch { /* the server does not answer: tried again */ }
    setTimeout(check, 1000 * again);
  }

  setTimeout(check, 1000 * (idle + 2));
})();

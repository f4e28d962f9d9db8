(() => {
  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  let again = false, busy = false;
  const renew = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const news = page.querySelector("main");
        if (news) main.replaceChildren(...news.childNodes);
        document.title = page.title;
      }
    } catch { /* The node is away; the event source connects again by itself. */ }
    busy = false;
    if (again) { again = false; renew(); }
  };
  const source = new EventSource(main.dataset.live);
  source.addEventListener("open", () => { main.dataset.connected = "yes"; });
  source.addEventListener("changed", renew);
})();

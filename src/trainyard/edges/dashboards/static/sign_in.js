// Changes a token, which stays in this page, for a ticket to the dashboard's own host.
const by = id => document.getElementById(id);
const next = new URLSearchParams(location.search).get("next") || "/";

by("job").textContent = location.pathname.slice(1);
by("who").addEventListener("submit", async event => {
  event.preventDefault();
  const token = by("token").value.trim();
  by("token").value = "";
  let words = "The service does not answer.";
  try {
    const answer = await fetch(location.pathname, { method: "POST", headers: { Authorization: `Bearer ${token}` } });
    const said = await answer.json();
    if (answer.ok) {
      location.replace(`${said.address}&next=${encodeURIComponent(next)}`);
      return;
    }
    words = answer.status === 401 ? "That token is not, or no longer, one." : said.error;
  } catch { /* the words stand */ }
  by("said").textContent = words;
  by("said").className = "bad";
  by("token").focus();
});

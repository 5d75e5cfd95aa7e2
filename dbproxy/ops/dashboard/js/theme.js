// Not a module: it runs before the first paint, so that a dark page does not flash white. "auto" leaves the choice to the system.
{
  let theme = "auto";
  try {
    theme = localStorage.getItem("dbproxy.theme") ?? theme;
  } catch {
    // no storage, the system decides
  }
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
}

/**
 * @file Reports what a page was kept from. A page that has a secret in its address names no place to
 * report to, because some browsers report addresses with their fragment: it reports by itself, to the
 * address that it was made with. A page that anybody can load has none, and what it reports is noise.
 */

const REPORTS_MAX = 5;

export function report() {
  let reported = 0;
  document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI, sourceFile }) => {
    if ((reported += 1) > REPORTS_MAX) return;
    const told = { "effective-directive": effectiveDirective, "blocked-uri": blockedURI, "source-file": sourceFile };
    void fetch(document.documentElement.dataset["reports"] ?? "/fields/v1/reports", {
      method: "POST",
      headers: { "Content-Type": "application/csp-report" },
      body: JSON.stringify({ "csp-report": told }),
      credentials: "omit",
    }).catch(() => {});
  });
}

/**
 * Content security policy of the site: it loads its own files and nothing else, and runs no script but its own. The worker is
 * started from a blob, so that starting it again needs no request; it has the same policy.
 */
export const sitePolicy = [
  "default-src 'none'",
  "script-src 'self' blob: 'wasm-unsafe-eval'",
  "worker-src blob:",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

import fc from "fast-check";

/** Milliseconds after which a property has been tried on enough inputs for a quick check. */
const enoughMs = 300;

// Also caps properties that name a number of runs. A failure before the time is up still fails.
fc.configureGlobal({ interruptAfterTimeLimit: enoughMs, markInterruptAsFailure: false });

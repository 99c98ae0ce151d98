//! HTTP health probes with verdicts an operator can act on.

//! The brain of a node: a pure machine of events and actions.

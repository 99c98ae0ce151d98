//! The micro service.

//! A node whose data has gone another way.

//! Waiting for a condition with a deadline that says what it waited for.

use std::time::{Duration, Instant};

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `look` gives a value; panics with `what` when `within` has passed.
///
/// Blocks the thread: in async tests use [`until_async`].
pub fn until<T>(within: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {within:?} for {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// [`until`] for async tests; `pause` is the runtime's sleep, so this crate needs no runtime.
pub async fn until_async<T, L, F, P, S>(within: Duration, what: &str, pause: P, mut look: L) -> T
where
    L: FnMut() -> F,
    F: Future<Output = Option<T>>,
    P: Fn(Duration) -> S,
    S: Future<Output = ()>,
{
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {within:?} for {what}");
        pause(LOOK_EVERY).await;
    }
}

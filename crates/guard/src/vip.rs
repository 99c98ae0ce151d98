//! A virtual IP that ends with the lease.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

/// How long one try waits for the kernel; below the second that the guard gives to every call.
const TRY_WITHIN: Duration = Duration::from_millis(500);

/// Which address is guarded, for daemons that find a guard with another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipName {
    /// The address.
    pub address: IpAddr,
    /// Bits of its prefix.
    pub prefix_len: u8,
    /// The interface.
    pub interface: String,
}

impl fmt::Display for VipName {
    /// `address/prefix on interface`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} on {}", self.address, self.prefix_len, self.interface)
    }
}

type TakeOff = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A virtual IP and how it is taken off.
///
/// The kernel may keep whoever changes addresses waiting for as long as it is busy with
/// interfaces. So the work has a thread of its own, one at a time: a try that comes while an
/// earlier one still waits, waits for the same.
pub struct GuardedVip {
    name: VipName,
    take_off: TakeOff,
    waiting: Mutex<Option<JoinHandle<Result<(), String>>>>,
}

impl fmt::Debug for GuardedVip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedVip").field("name", &self.name).finish_non_exhaustive()
    }
}

impl GuardedVip {
    /// The address `name`, which `take_off` takes off: done when the kernel no longer has it, an
    /// error in words. It may block.
    #[must_use]
    pub fn new(
        name: VipName,
        take_off: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { name, take_off: Arc::new(take_off), waiting: Mutex::default() }
    }

    /// Which address.
    #[must_use]
    pub fn name(&self) -> &VipName {
        &self.name
    }

    /// Takes the address off.
    ///
    /// # Errors
    /// In words, also when the kernel has not answered within 500 ms; then it goes on.
    pub async fn take_off(&self) -> Result<(), String> {
        let waiting = self.waiting().take();
        let mut work = waiting.unwrap_or_else(|| {
            let take_off = Arc::clone(&self.take_off);
            tokio::task::spawn_blocking(move || take_off())
        });
        match tokio::time::timeout(TRY_WITHIN, &mut work).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(format!("taking {} off has panicked: {panicked}", self.name)),
            Err(_elapsed) => {
                *self.waiting() = Some(work);
                let name = &self.name;
                Err(format!("the kernel has not taken {name} off within {TRY_WITHIN:?}"))
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<JoinHandle<Result<(), String>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_kernel_that_keeps_one_waiting_is_asked_once_and_its_answer_is_heard() {
        let (answer, answers) = mpsc::channel();
        let answers = Mutex::new(answers);
        let name =
            VipName { address: [10, 0, 1, 100].into(), prefix_len: 24, interface: "eth0".into() };
        let vip = GuardedVip::new(name, move || answers.lock().unwrap().recv().unwrap());
        for _ in 0..2 {
            let late = vip.take_off().await.unwrap_err();
            assert!(late.contains("10.0.1.100/24 on eth0"), "{late}");
        }
        answer.send(Err(String::from("no"))).unwrap();
        answer.send(Ok(())).unwrap();
        assert_eq!(vip.take_off().await, Err(String::from("no")));
        assert_eq!(vip.take_off().await, Ok(()));
    }
}

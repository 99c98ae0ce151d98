//! A backend that something else runs: the guard calls a target, in time and until it is gone.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ccm_guard::{
    BackendState, GuardClient, GuardConfig, GuardEvent, GuardedVip, RefusalCode, Target, VipName,
    serve,
};
use ccm_types::{BootClock, Monotonic};

use crate::rig::{self, PATIENCE, Rig, code, sh};

/// A unit of a service manager that hangs on stop and goes on kill.
#[derive(Default)]
struct Unit {
    runs: AtomicBool,
    calls: Mutex<Vec<(&'static str, Monotonic)>>,
}

impl Unit {
    fn note(&self, call: &'static str) {
        self.calls.lock().unwrap().push((call, BootClock.now()));
    }

    fn first(&self, call: &str) -> Option<Monotonic> {
        let calls = self.calls.lock().unwrap();
        calls.iter().find(|(name, _)| *name == call).map(|(_, at)| *at)
    }
}

struct Handle(Arc<Unit>, GuardedVip);

impl Target for Handle {
    const STARTS: bool = false;

    fn vip(&self) -> Option<&GuardedVip> {
        Some(&self.1)
    }

    async fn stop(&self) -> Result<(), String> {
        self.0.note("stop");
        std::future::pending().await
    }

    async fn kill(&self) -> Result<(), String> {
        self.0.note("kill");
        self.0.runs.store(false, Ordering::SeqCst);
        Ok(())
    }

    async fn is_gone(&self) -> bool {
        !self.0.runs.load(Ordering::SeqCst)
    }
}

#[test]
fn a_unit_is_stopped_then_killed_and_kept_down_although_its_manager_hangs() {
    let rig = Rig::new();
    let unit = Arc::new(Unit::default());
    unit.runs.store(true, Ordering::SeqCst);
    let name =
        VipName { address: [10, 0, 1, 100].into(), prefix_len: 24, interface: "eth0".into() };
    let witness = Arc::clone(&unit);
    let vip = GuardedVip::new(name.clone(), move || {
        witness.note("vip");
        Ok(())
    });
    let (config, target) = (GuardConfig::new(rig.socket()), Handle(Arc::clone(&unit), vip));
    let guard = std::thread::spawn(move || serve(config, target));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        rig::until("the guard to listen", || rig.socket().exists()).await;
        let (client, mut events) = GuardClient::connect(&rig.socket()).await.unwrap();
        let hello = client.hello().await.unwrap();
        assert_eq!((hello.backend, hello.vip), (BackendState::External, Some(name)));
        let armed = rig.armed(1, 400);
        client.arm(armed.clone()).await.unwrap();
        let refused = client.start(&sh("true")).await.unwrap_err();
        assert_eq!(code(&refused), Some(RefusalCode::NotAProcess));

        let event = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap();
        assert!(matches!(event, Some(GuardEvent::BackendExited { .. })), "{event:?}");
        let (stopped, killed) = (unit.first("stop").unwrap(), unit.first("kill").unwrap());
        assert!(armed.valid_until <= stopped && stopped < armed.kill_at, "{armed:?} {stopped}");
        assert!(armed.kill_at <= killed && killed <= armed.gone_by, "{armed:?} {killed}");

        let vip_off = unit.first("vip").unwrap();
        assert!(armed.valid_until <= vip_off && vip_off <= armed.gone_by, "{armed:?} {vip_off}");

        // A start that was under way when the lease ran out.
        unit.runs.store(true, Ordering::SeqCst);
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap();
        assert!(format!("{event:?}").contains("although its lease had run out"), "{event:?}");
        assert!(!unit.runs.load(Ordering::SeqCst));

        client.arm(rig.armed(2, 60_000)).await.unwrap();
        unit.runs.store(true, Ordering::SeqCst);
        client.stop(Duration::from_millis(50)).await.unwrap();
        assert!(!unit.runs.load(Ordering::SeqCst));
        let refused = client.quit().await.unwrap_err();
        assert_eq!(code(&refused), Some(RefusalCode::Running));
        client.disarm().await.unwrap();
        client.quit().await.unwrap();
    });
    guard.join().unwrap().unwrap();
}

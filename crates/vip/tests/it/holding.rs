//! Holding an address against others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ccm_vip::{Vip, VipError, VipEvent, VipEvents};
use tokio::time::interval;

use crate::lab::{FOUR, PEER_MAC, SIX, Wire, announces, arp, config, event, in_lab, until, vip};

/// Says `claim` until the conflict is told: the ear opens soon after the taking.
async fn told_of_conflict(wire: &Wire, claim: &[u8], events: &mut VipEvents) {
    let claiming = async {
        let mut pause = interval(Duration::from_millis(20));
        loop {
            pause.tick().await;
            wire.say(claim);
        }
    };
    tokio::select! {
        before = event(events, &VipEvent::Conflict { mac: PEER_MAC }) => assert_eq!(before, []),
        () = claiming => {}
    }
}

#[test]
fn an_address_that_somebody_removes_is_put_back() {
    for address in [FOUR, SIX] {
        in_lab(async |lab| {
            let vip = vip(address);
            let mut events = vip.watch();
            vip.acquire(false).await.unwrap();
            // Again and again, also before the pause is over.
            for _ in 0..3 {
                lab.ip(&format!("address delete {}/{} dev eth0", address.0, address.1));
                let announced = vip.announced();
                assert_eq!(event(&mut events, &VipEvent::Lost).await, []);
                assert_eq!(event(&mut events, &VipEvent::Back).await, []);
                assert!(lab.has(address));
                until("another announcement", || (vip.announced() > announced).then_some(())).await;
            }
        });
    }
}

#[test]
fn nothing_is_taken_or_put_back_when_the_right_to_it_has_ended() {
    in_lab(async |lab| {
        let allowed = Arc::new(AtomicBool::new(false));
        let refusals = Arc::new(AtomicU32::new(0));
        let (answer, count) = (Arc::clone(&allowed), Arc::clone(&refusals));
        let vip = Vip::open_while(config(FOUR), move || {
            let yes = answer.load(Ordering::SeqCst);
            count.fetch_add(u32::from(!yes), Ordering::SeqCst);
            yes
        });
        let vip = vip.unwrap();
        let mut events = vip.watch();
        let refused = vip.acquire(true).await.unwrap_err();
        assert!(matches!(refused, VipError::NotAllowed { .. }), "{refused}");
        assert!(!lab.has(FOUR));

        allowed.store(true, Ordering::SeqCst);
        vip.acquire(true).await.unwrap();
        allowed.store(false, Ordering::SeqCst);
        lab.ip("address flush dev eth0");
        event(&mut events, &VipEvent::Lost).await;
        let before = refusals.load(Ordering::SeqCst);
        until("two more refusals", || {
            (refusals.load(Ordering::SeqCst) >= before + 2).then_some(())
        })
        .await;
        assert!(!lab.has(FOUR));
        allowed.store(true, Ordering::SeqCst);
        event(&mut events, &VipEvent::Back).await;
        assert!(lab.has(FOUR));
    });
}

#[test]
fn what_was_put_back_is_announced() {
    in_lab(async |lab| {
        let vip = vip(FOUR);
        let mut events = vip.watch();
        vip.acquire(false).await.unwrap();
        lab.ip("address flush dev eth0");
        event(&mut events, &VipEvent::Lost).await;
        let wire = lab.peer_wire();
        wire.hear("an announcement", |frame| announces(frame, 1)).await;
        assert!(lab.has(FOUR));
    });
}

#[test]
fn another_host_that_claims_it_is_told_and_answered() {
    in_lab(async |lab| {
        let vip = vip(FOUR);
        let mut events = vip.watch();
        vip.acquire(false).await.unwrap();
        let wire = lab.peer_wire();
        // Those that ask do not claim.
        wire.say(&arp(1, [0; 4]));
        wire.say(&arp(1, [10, 0, 1, 2]));
        told_of_conflict(&wire, &arp(2, [10, 0, 1, 100]), &mut events).await;
        wire.hear("the answer", |frame| announces(frame, 2)).await;
    });
}

#[test]
fn a_claim_by_neighbour_discovery_is_told() {
    in_lab(async |lab| {
        let vip = vip(SIX);
        let mut events = vip.watch();
        let wire = lab.peer_wire();
        vip.acquire(false).await.unwrap();
        let mut claim =
            wire.hear("our own announcement", |frame| frame.len() == 86 && frame[54] == 136).await;
        // The neighbour says the same of itself.
        claim[6..12].copy_from_slice(&PEER_MAC.octets());
        claim[80..86].copy_from_slice(&PEER_MAC.octets());
        told_of_conflict(&wire, &claim, &mut events).await;
    });
}

#[test]
fn a_flood_of_claims_is_told_once_a_second_and_hides_nothing() {
    in_lab(async |lab| {
        let vip = vip(FOUR);
        let mut events = vip.watch();
        vip.acquire(false).await.unwrap();
        let (wire, begun) = (lab.peer_wire(), Instant::now());
        let claim = arp(2, [10, 0, 1, 100]);
        told_of_conflict(&wire, &claim, &mut events).await;
        for _ in 0..1000 {
            wire.say(&claim);
        }
        lab.ip("address delete 10.0.1.100/24 dev eth0");
        let conflicts = event(&mut events, &VipEvent::Lost).await;
        assert!(conflicts.len() as u64 <= begun.elapsed().as_secs(), "{conflicts:?}");
        let conflicts = event(&mut events, &VipEvent::Back).await;
        assert!(conflicts.len() as u64 <= begun.elapsed().as_secs(), "{conflicts:?}");
    });
}

#[test]
fn a_new_release_and_a_new_taking_begin_afresh() {
    in_lab(async |lab| {
        let vip = vip(FOUR);
        let mut events = vip.watch();
        for _ in 0..3 {
            vip.acquire(false).await.unwrap();
            assert!(lab.has(FOUR));
            vip.release().await.unwrap();
            assert!(!lab.has(FOUR));
        }
        vip.acquire(false).await.unwrap();
        lab.ip("address delete 10.0.1.100/24 dev eth0");
        // None of our own doings was taken for somebody else's.
        assert_eq!(event(&mut events, &VipEvent::Lost).await, []);
        assert_eq!(event(&mut events, &VipEvent::Back).await, []);
    });
}

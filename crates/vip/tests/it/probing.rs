//! Whether anyone else has the address.

use ccm_vip::{Probe, VipError, VipEvent};
use tokio_util::sync::CancellationToken;

use crate::lab::{FOUR, PEER_MAC, SIX, arp, asks, event, in_lab, until, vip};

#[test]
fn another_holder_is_found_and_overruled_only_by_insisting() {
    for address in [FOUR, SIX] {
        in_lab(async |lab| {
            lab.peer_ip(&format!("address add {}/{} dev eth1 nodad", address.0, address.1));
            let vip = vip(address);
            let error = vip.acquire(false).await.unwrap_err();
            assert!(
                matches!(error, VipError::HeldElsewhere { mac: PEER_MAC, .. }),
                "{address:?}: {error}"
            );
            assert!(error.is_conflict() && error.is_transient());
            assert!(!lab.has(address));

            let acquired = vip.acquire(true).await.unwrap();
            assert_eq!(acquired.probe, Probe::Held { mac: PEER_MAC });
            assert!(lab.has(address));
        });
    }
}

#[test]
fn an_address_that_is_taken_over_is_there_at_once_and_another_holder_is_told_of() {
    for address in [FOUR, SIX] {
        in_lab(async |lab| {
            lab.peer_ip(&format!("address add {}/{} dev eth1 nodad", address.0, address.1));
            let vip = vip(address);
            let mut events = vip.watch();
            let acquired = vip.take_over().await.unwrap();
            assert_eq!(acquired.probe, Probe::Later);
            assert!(lab.has(address));
            event(&mut events, &VipEvent::Conflict { mac: PEER_MAC }).await;
            assert!(lab.has(address));
        });
    }
}

#[test]
fn an_address_that_is_taken_over_is_asked_for_three_times_and_announced_as_ever() {
    in_lab(async |lab| {
        let wire = lab.peer_wire();
        let vip = vip(FOUR);
        vip.take_over().await.unwrap();
        let mut questions = 0;
        until("the third question", || {
            questions += wire.heard().iter().filter(|frame| asks(frame)).count();
            (questions >= 3).then_some(())
        })
        .await;
        assert!(vip.announced() > 0);
    });
}

#[test]
fn another_host_that_is_about_to_take_it_counts_as_its_holder() {
    in_lab(async |lab| {
        let vip = vip(FOUR);
        let wire = lab.peer_wire();
        let enough = CancellationToken::new();
        let probing = async {
            let pause = tokio::time::Duration::from_millis(10);
            let mut pause = tokio::time::interval(pause);
            while !enough.is_cancelled() {
                wire.say(&arp(1, [0; 4]));
                pause.tick().await;
            }
        };
        let taking = async {
            let error = vip.acquire(false).await.unwrap_err();
            enough.cancel();
            error
        };
        let ((), error) = tokio::join!(probing, taking);
        assert!(matches!(error, VipError::HeldElsewhere { mac: PEER_MAC, .. }), "{error}");
    });
}

#[test]
fn a_neighbour_with_another_address_is_no_holder() {
    in_lab(async |lab| {
        lab.peer_ip("address add 10.0.1.10/24 dev eth1");
        lab.peer_ip("address add 10.0.1.1/24 dev eth1");
        assert_eq!(vip(FOUR).acquire(false).await.unwrap().probe, Probe::Free);
    });
}

//! Interfaces that come and go under an address.

use ccm_vip::{LinkState, VipEvent, state_now};

use crate::lab::{FOUR, SIX, announces, config, event, in_lab, until, vip};

#[test]
fn an_interface_that_goes_down_and_up_has_its_address_again() {
    for address in [FOUR, SIX] {
        in_lab(async |lab| {
            let vip = vip(address);
            let mut events = vip.watch();
            vip.acquire(false).await.unwrap();
            lab.ip("link set eth0 down");
            event(&mut events, &VipEvent::Link(LinkState::Down)).await;
            assert_eq!(vip.link_state().await.unwrap(), LinkState::Down);
            lab.ip("link set eth0 up");
            event(&mut events, &VipEvent::Link(LinkState::Up)).await;
            until("the address", || state_now(&config(address)).unwrap().usable.then_some(()))
                .await;
            assert!(lab.has(address));
        });
    }
}

#[test]
fn a_carrier_that_comes_back_is_announced_on() {
    in_lab(async |lab| {
        let vip = vip(FOUR);
        let mut events = vip.watch();
        vip.acquire(false).await.unwrap();
        lab.peer_ip("link set eth1 down");
        event(&mut events, &VipEvent::Link(LinkState::NoCarrier)).await;
        assert!(vip.is_held().await.unwrap());
        lab.peer_ip("link set eth1 up");
        let wire = lab.peer_wire();
        event(&mut events, &VipEvent::Link(LinkState::Up)).await;
        wire.hear("an announcement", |frame| announces(frame, 1)).await;
    });
}

#[test]
fn an_interface_that_is_deleted_and_made_again_gets_its_address() {
    for address in [FOUR, SIX] {
        in_lab(async |lab| {
            let vip = vip(address);
            let mut events = vip.watch();
            vip.acquire(false).await.unwrap();
            lab.ip("link delete eth0");
            event(&mut events, &VipEvent::Lost).await;
            assert_eq!(vip.link_state().await.unwrap(), LinkState::Missing);
            assert!(!vip.is_held().await.unwrap());

            lab.plug();
            event(&mut events, &VipEvent::Back).await;
            assert!(lab.has(address));
            assert_eq!(vip.release().await.unwrap().removed, 1);
        });
    }
}

#[test]
fn an_interface_that_is_renamed_is_told_with_its_new_name() {
    in_lab(async |lab| {
        let vip = vip(FOUR);
        let mut events = vip.watch();
        vip.acquire(false).await.unwrap();
        lab.ip("link set eth0 down");
        lab.ip("link set eth0 name lan0");
        event(&mut events, &VipEvent::Renamed { to: String::from("lan0") }).await;
        assert_eq!(vip.link_state().await.unwrap(), LinkState::Missing);
        assert_eq!(vip.state().await.unwrap().elsewhere, ["lan0"]);

        lab.ip("link set lan0 name eth0");
        lab.ip("link set eth0 up");
        event(&mut events, &VipEvent::Link(LinkState::Up)).await;
        assert!(vip.is_held().await.unwrap());
    });
}

#[test]
fn an_interface_that_is_not_held_on_is_watched_too() {
    in_lab(async |lab| {
        let vip = vip(FOUR);
        // The first look is how things are.
        vip.acquire(false).await.unwrap();
        vip.release().await.unwrap();
        let mut events = vip.watch();
        lab.ip("link set eth0 down");
        event(&mut events, &VipEvent::Link(LinkState::Down)).await;
        lab.ip("link set eth0 up");
        event(&mut events, &VipEvent::Link(LinkState::Up)).await;
    });
}

#[test]
fn an_address_moves_to_the_interface_that_has_the_name_now() {
    for address in [FOUR, SIX] {
        in_lab(async |lab| {
            let vip = vip(address);
            let mut events = vip.watch();
            vip.acquire(false).await.unwrap();
            lab.ip("link set eth0 down");
            lab.ip("link set eth0 name lan0");
            lab.ip("link set lan0 up");
            event(&mut events, &VipEvent::Renamed { to: String::from("lan0") }).await;
            lab.ip("link add name eth0 type veth peer name eth8");
            lab.ip("link set eth0 up");
            event(&mut events, &VipEvent::Back).await;
            assert!(lab.has(address));
            assert!(vip.state().await.unwrap().elsewhere.is_empty());
            assert_eq!(vip.release().await.unwrap().removed, 1);
        });
    }
}

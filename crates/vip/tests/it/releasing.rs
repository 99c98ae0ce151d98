//! Giving up an address.

use ccm_vip::{VipError, VipEvent, release_now, state_now};

use crate::lab::{ETH, FOUR, HOST_MAC, SIX, announces, config, event, in_lab, until, vip};

#[test]
fn an_address_that_was_left_over_is_removed_without_a_daemon() {
    for address in [FOUR, SIX] {
        in_lab(async |lab| {
            lab.ip(&format!("address add {}/{} dev {ETH}", address.0, address.1));
            assert!(state_now(&config(address)).unwrap().is_held());
            assert_eq!(release_now(&config(address)).unwrap().removed, 1);
            assert!(!lab.has(address));
            assert_eq!(release_now(&config(address)).unwrap().removed, 0);
        });
    }
}

#[test]
fn it_is_removed_with_whatever_prefix_and_however_often_it_is_there() {
    in_lab(async |lab| {
        lab.ip("address add 10.0.1.100/16 dev eth0");
        lab.ip("address add 10.0.1.100/32 dev eth0");
        lab.ip("address add 10.0.1.100 peer 10.0.9.9 dev eth0");
        assert_eq!(release_now(&config(FOUR)).unwrap().removed, 3);
        assert!(!lab.ip("address show").contains("10.0.1.100"));
    });
}

#[test]
fn the_other_addresses_of_its_subnet_stay() {
    in_lab(async |lab| {
        lab.set("ipv4/conf/eth0/promote_secondaries", "0");
        let vip = vip(FOUR);
        vip.acquire(false).await.unwrap();
        // The virtual address came first, so the kernel would take this one off with it.
        lab.ip("address add 10.0.1.1/24 dev eth0 label eth0:own valid_lft 5000 preferred_lft 4000");
        let released = vip.release().await.unwrap();
        assert_eq!(released.put_back, ["10.0.1.1".parse::<std::net::IpAddr>().unwrap()]);
        assert!(released.lost.is_empty());
        assert!(lab.has(("10.0.1.1", 24)) && !lab.has(FOUR));
        let shown = lab.ip("address show dev eth0");
        assert!(shown.contains("dynamic eth0:own") && shown.contains("preferred_lft "), "{shown}");
    });
}

#[test]
fn a_release_overtakes_a_taking() {
    in_lab(async |lab| {
        let vip = vip(FOUR);
        let wire = lab.peer_wire();
        let releasing = async {
            wire.hear("the probe", |frame| frame.len() >= 42 && frame[12..14] == [8, 6]).await;
            vip.release().await
        };
        let (taken, released) = tokio::join!(vip.acquire(false), releasing);
        assert_eq!(released.unwrap().removed, 0);
        let error = taken.unwrap_err();
        assert!(matches!(error, VipError::Overtaken { .. }), "{error}");
        assert!(!lab.has(FOUR));
    });
}

#[test]
fn nothing_is_announced_or_put_back_after_a_release() {
    in_lab(async |lab| {
        // Announced as often: it shows that time has passed.
        let clock = vip(SIX);
        let vip = vip(FOUR);
        let mut events = vip.watch();
        vip.acquire(false).await.unwrap();
        vip.release().await.unwrap();
        let wire = lab.peer_wire();
        clock.acquire(false).await.unwrap();
        let mut heard = Vec::new();
        until("six announcements of the clock", || {
            heard.extend(wire.heard());
            let ticks = heard.iter().filter(|frame| frame.len() == 86 && frame[54] == 136);
            (ticks.count() >= 6).then_some(())
        })
        .await;
        let ours = |frame: &&Vec<u8>| announces(frame, 1) || announces(frame, 2);
        assert_eq!(heard.iter().find(ours), None);
        assert!(!lab.has(FOUR));

        // Nor told: the first event is that somebody else adds it.
        lab.ip("address add 10.0.1.100/24 dev eth0");
        assert_eq!(event(&mut events, &VipEvent::Unwanted).await, []);
        assert!(vip.is_held().await.unwrap());
    });
}

#[test]
fn it_is_removed_from_an_interface_that_has_another_name_by_now() {
    in_lab(async |lab| {
        let vip = vip(FOUR);
        vip.acquire(false).await.unwrap();
        lab.ip("link set eth0 down");
        lab.ip("link set eth0 name lan0");
        lab.ip("link set lan0 up");
        assert_eq!(lab.addresses("lan0")[0], "10.0.1.100/24");
        // Another one has taken the name.
        lab.ip("link add name eth0 type veth peer name eth8");
        assert_eq!(vip.release().await.unwrap().removed, 1);
        assert!(!lab.ip("address show").contains("10.0.1.100"));

        // A process that knows only the name finds it where that is gone.
        lab.ip("address add 10.0.1.100/24 dev lan0");
        assert_eq!(release_now(&config(FOUR)).unwrap().elsewhere, ["lan0"]);
        lab.ip("link delete eth0");
        assert_eq!(release_now(&config(FOUR)).unwrap().removed, 1);
        assert!(lab.ip("link show lan0").contains(&HOST_MAC.to_string()));
    });
}

//! What the neighbours hear.

use crate::lab::{FOUR, HOST_MAC, SIX, announces, in_lab, until, vip};

#[test]
fn a_neighbour_that_knew_another_host_learns_the_new_one() {
    for address in [FOUR, SIX] {
        in_lab(async |lab| {
            let addr = address.0;
            lab.peer_ip("address add 10.0.1.2/24 dev eth1");
            lab.peer_ip("address add 2001:db8::2/64 dev eth1 nodad");
            lab.peer_ip(&format!(
                "neigh replace {addr} lladdr 02:00:00:00:00:99 dev eth1 nud stale"
            ));
            assert!(lab.peer_believes(addr).contains("02:00:00:00:00:99"));

            let vip = vip(address);
            vip.acquire(false).await.unwrap();
            until("the neighbour to learn", || {
                lab.peer_believes(addr).contains(&HOST_MAC.to_string()).then_some(())
            })
            .await;
        });
    }
}

#[test]
fn both_forms_are_heard_as_often_as_configured() {
    in_lab(async |lab| {
        let wire = lab.peer_wire();
        let vip = vip(FOUR);
        vip.acquire(false).await.unwrap();
        let (mut requests, mut replies) = (0, 0);
        until("the seventh announcement", || {
            let heard = wire.heard();
            requests += heard.iter().filter(|frame| announces(frame, 1)).count();
            replies += heard.iter().filter(|frame| announces(frame, 2)).count();
            // Six after the taking, and the first refresh.
            (requests >= 7 && replies >= 7).then_some(())
        })
        .await;
    });
}

#[test]
fn an_advertisement_goes_to_all_nodes() {
    in_lab(async |lab| {
        let wire = lab.peer_wire();
        let vip = vip(SIX);
        vip.acquire(false).await.unwrap();
        let frame =
            wire.hear("an advertisement", |frame| frame.len() == 86 && frame[54] == 136).await;
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!((frame[21], frame[58]), (255, 0x20));
        assert_eq!(frame[80..], HOST_MAC.octets());
    });
}

//! Taking an address.

use ccm_vip::{Found, LinkState, Probe, VipConfig, VipError, state_now};

use crate::lab::{ETH, FOUR, SIX, config, in_lab, vip};

#[test]
fn an_address_is_taken_once_and_given_up_once() {
    for address in [FOUR, SIX] {
        in_lab(async |lab| {
            let vip = vip(address);
            assert!(!vip.is_held().await.unwrap());

            let acquired = vip.acquire(false).await.unwrap();
            assert_eq!((acquired.probe, acquired.found), (Probe::Free, Found::Nothing));
            assert_eq!((acquired.link, acquired.not_announced), (LinkState::Up, None));
            assert!(lab.has(address));
            let state = vip.state().await.unwrap();
            assert!(state.is_held() && state.usable && state.elsewhere.is_empty());
            assert_eq!(state.prefix_lens, [address.1]);

            let again = vip.acquire(false).await.unwrap();
            assert_eq!((again.probe, again.found), (Probe::Free, Found::AlreadyThere));

            assert_eq!(vip.release().await.unwrap().removed, 1);
            assert!(!lab.has(address) && !vip.is_held().await.unwrap());
            assert_eq!(vip.release().await.unwrap().removed, 0);
            vip.close().await;
        });
    }
}

#[test]
fn an_address_is_compared_as_an_address() {
    in_lab(async |lab| {
        lab.ip("address add 10.0.0.10/24 dev eth0");
        let vip = vip(("10.0.0.1", 24));
        assert!(!vip.is_held().await.unwrap());
        assert_eq!(vip.release().await.unwrap().removed, 0);
        assert_eq!(vip.acquire(false).await.unwrap().found, Found::Nothing);
        assert_eq!(vip.release().await.unwrap().removed, 1);
        assert!(lab.has(("10.0.0.10", 24)) && !lab.has(("10.0.0.1", 24)));
    });
}

#[test]
fn another_prefix_is_set_right() {
    for (address, wrong) in [(FOUR, 16), (SIX, 128)] {
        in_lab(async |lab| {
            lab.ip(&format!("address add {}/{wrong} dev {ETH} nodad", address.0));
            let vip = vip(address);
            assert_eq!(vip.state().await.unwrap().prefix_lens, [wrong]);
            assert_eq!(vip.acquire(false).await.unwrap().found, Found::Corrected);
            assert_eq!(vip.state().await.unwrap().prefix_lens, [address.1]);
            assert!(lab.has(address) && !lab.has((address.0, wrong)));
        });
    }
}

#[test]
fn an_address_in_duplicate_detection_is_made_usable() {
    in_lab(async |lab| {
        // Without a carrier, detection does not even begin.
        lab.peer_ip("link set eth1 down");
        lab.ip("address add 2001:db8::10/64 dev eth0");
        let vip = vip(SIX);
        let state = vip.state().await.unwrap();
        assert!(state.is_held() && !state.usable, "{state:?}");
        assert_eq!(vip.acquire(false).await.unwrap().found, Found::Corrected);
        assert!(vip.state().await.unwrap().usable);
    });
}

#[test]
fn an_address_on_another_interface_is_told() {
    in_lab(async |lab| {
        lab.ip("link add name eth9 type veth peer name eth8");
        lab.ip("address add 10.0.1.100/32 dev eth9");
        let vip = vip(FOUR);
        assert_eq!(vip.state().await.unwrap().elsewhere, ["eth9"]);
        let error = vip.acquire(false).await.unwrap_err();
        assert!(matches!(error, VipError::OnOtherInterface { .. }), "{error}");
        assert!(error.is_conflict() && error.to_string().contains("eth9"), "{error}");
        assert!(!lab.has(FOUR));

        assert_eq!(vip.acquire(true).await.unwrap().elsewhere, ["eth9"]);
        let released = vip.release().await.unwrap();
        assert_eq!((released.removed, released.elsewhere), (1, vec![String::from("eth9")]));
        assert_eq!(lab.addresses("eth9"), ["10.0.1.100/32"]);
    });
}

#[test]
fn an_interface_that_is_missing_is_an_error_and_one_that_is_down_a_problem() {
    in_lab(async |lab| {
        let missing = VipConfig::new(FOUR.0.parse().unwrap(), FOUR.1, "eth7").unwrap();
        let vip_of_missing = ccm_vip::Vip::open(missing).unwrap();
        let error = vip_of_missing.acquire(true).await.unwrap_err();
        assert!(matches!(error, VipError::NoInterface { .. }), "{error}");
        assert!(error.to_string().contains("eth7") && error.is_transient(), "{error}");
        assert_eq!(vip_of_missing.link_state().await.unwrap(), LinkState::Missing);

        lab.ip("link set eth0 down");
        for address in [FOUR, SIX] {
            let vip = vip(address);
            let acquired = vip.acquire(false).await.unwrap();
            assert_eq!((acquired.probe, acquired.link), (Probe::Unasked, LinkState::Down));
            let problem = acquired.link.problem(ETH).unwrap();
            assert!(problem.contains("ip link set eth0 up"), "{problem}");
            assert!(acquired.not_announced.is_some());
            assert!(lab.has(address));
        }
    });
}

#[test]
fn an_interface_without_neighbours_is_not_asked() {
    in_lab(async |lab| {
        let config = VipConfig::new(FOUR.0.parse().unwrap(), 32, "lo").unwrap();
        let vip = ccm_vip::Vip::open(config).unwrap();
        lab.ip("link set lo up");
        let acquired = vip.acquire(false).await.unwrap();
        assert_eq!((acquired.probe, acquired.not_announced), (Probe::Unasked, None));
        assert_eq!(vip.release().await.unwrap().removed, 1);
    });
}

#[test]
fn an_interface_without_ipv6_is_named_with_its_setting() {
    in_lab(async |lab| {
        lab.set("ipv6/conf/eth0/disable_ipv6", "1");
        let error = vip(SIX).acquire(false).await.unwrap_err();
        assert!(matches!(error, VipError::Ipv6Disabled { .. }), "{error}");
        assert!(!error.is_transient());
    });
}

#[test]
fn whoever_may_not_is_told_what_is_missing() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    in_lab(async |lab| {
        let without = |set: CapabilitySet| {
            let mut sets = capabilities(None).unwrap();
            sets.effective -= set;
            sets.permitted -= set;
            set_capabilities(None, sets).unwrap();
        };
        // Threads that the runtime starts from here on have what this one has.
        without(CapabilitySet::NET_ADMIN);
        let error = vip(FOUR).acquire(false).await.unwrap_err();
        assert!(matches!(error, VipError::NotPermitted { doing: "add", .. }), "{error}");
        assert!(!lab.has(FOUR));

        without(CapabilitySet::NET_RAW);
        let error = vip(FOUR).acquire(false).await.unwrap_err();
        assert!(matches!(error, VipError::NotPermitted { doing: "probe for", .. }), "{error}");
        assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
        // To look needs no permission.
        assert!(!state_now(&config(FOUR)).unwrap().is_held());
    });
}

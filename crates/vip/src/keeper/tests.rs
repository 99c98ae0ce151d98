//! What follows from what is seen.

use super::*;

fn view(wanted: bool, held: bool, link: LinkState) -> View {
    View { wanted, held, link, renamed_to: None }
}

fn held() -> View {
    view(true, true, LinkState::Up)
}

fn lost() -> View {
    view(true, false, LinkState::Up)
}

/// A keeper that holds an address.
fn keeper(now: Instant) -> Keeper {
    let mut keeper = Keeper::default();
    assert_eq!(keeper.see(now, held()), []);
    keeper
}

#[test]
fn an_address_that_goes_is_put_back_and_announced() {
    let now = Instant::now();
    let mut keeper = keeper(now);
    assert_eq!(keeper.see(now, lost()), [Step::Tell(VipEvent::Lost), Step::PutBack]);
    assert_eq!(keeper.tried(now, Ok(())), []);
    assert_eq!(keeper.see(now, held()), [Step::Tell(VipEvent::Back), Step::Announce]);
    assert_eq!(keeper.see(now, held()), []);
}

#[test]
fn whoever_takes_it_off_in_a_loop_is_answered_with_pauses() {
    let mut now = Instant::now();
    let mut keeper = keeper(now);
    keeper.see(now, lost());
    keeper.tried(now, Ok(()));
    keeper.see(now, held());
    // Gone again: said at once, put back after the pause.
    assert_eq!(keeper.see(now, lost()), [Step::Tell(VipEvent::Lost)]);
    assert_eq!(keeper.look_at(now), now + PUT_BACK_PAUSE);
    now += PUT_BACK_PAUSE;
    assert_eq!(keeper.see(now, lost()), [Step::PutBack]);
}

#[test]
fn what_cannot_be_put_back_is_said_once_and_tried_slowly() {
    let mut now = Instant::now();
    let mut keeper = keeper(now);
    keeper.see(now, lost());
    for _ in 1..PUT_BACK_TRIES {
        assert_eq!(keeper.tried(now, Err(String::from("full"))), []);
        assert_eq!(keeper.see(now, lost()), []);
        now = keeper.look_at(now);
        assert_eq!(keeper.see(now, lost()), [Step::PutBack]);
    }
    let problem = String::from("full");
    let told = keeper.tried(now, Err(problem.clone()));
    assert_eq!(told, [Step::Tell(VipEvent::NotPutBack { problem: problem.clone() })]);
    assert_eq!(keeper.look_at(now), now + LOOK_EVERY);
    now += LOOK_EVERY;
    assert_eq!(keeper.see(now, lost()), [Step::PutBack]);
    assert_eq!(keeper.tried(now, Err(problem)), []);
    // An interface that changes is a new beginning.
    let down = view(true, false, LinkState::Down);
    let told = Step::Tell(VipEvent::Link(LinkState::Down));
    assert_eq!(keeper.see(now, down), [told, Step::PutBack]);
}

#[test]
fn an_interface_that_goes_and_comes_is_told_and_waited_for() {
    let now = Instant::now();
    let mut keeper = keeper(now);
    let gone = view(true, false, LinkState::Missing);
    assert_eq!(
        keeper.see(now, gone.clone()),
        [Step::Tell(VipEvent::Link(LinkState::Missing)), Step::Tell(VipEvent::Lost)]
    );
    assert_eq!(keeper.see(now, gone), []);
    let told = Step::Tell(VipEvent::Link(LinkState::Up));
    assert_eq!(keeper.see(now, lost()), [told, Step::PutBack]);
}

#[test]
fn a_carrier_that_comes_back_is_announced_on() {
    let now = Instant::now();
    let mut keeper = keeper(now);
    let told = |link| Step::Tell(VipEvent::Link(link));
    let cut = view(true, true, LinkState::NoCarrier);
    assert_eq!(keeper.see(now, cut), [told(LinkState::NoCarrier)]);
    assert_eq!(keeper.see(now, held()), [told(LinkState::Up), Step::Announce]);
}

#[test]
fn a_new_name_is_told_once() {
    let now = Instant::now();
    let mut keeper = keeper(now);
    let renamed =
        View { renamed_to: Some(String::from("lan0")), ..view(true, false, LinkState::Missing) };
    let told = Step::Tell(VipEvent::Renamed { to: String::from("lan0") });
    assert!(keeper.see(now, renamed.clone()).contains(&told));
    assert_eq!(keeper.see(now, renamed), []);
}

#[test]
fn an_address_that_is_not_wanted_is_told_and_left_alone() {
    let now = Instant::now();
    let mut keeper = Keeper::default();
    let free = view(false, false, LinkState::Up);
    let unwanted = view(false, true, LinkState::Up);
    assert_eq!(keeper.see(now, free.clone()), []);
    assert_eq!(keeper.see(now, unwanted.clone()), [Step::Tell(VipEvent::Unwanted)]);
    assert_eq!(keeper.see(now, unwanted), []);
    // Taken and released by ourselves.
    keeper.see(now, held());
    assert_eq!(keeper.see(now, free), []);
    assert_eq!(keeper.look_at(now), now + LOOK_EVERY);
}

//! Giving up an address without a daemon, a runtime or a thread.

use crate::{Released, VipConfig, VipError, VipState, kernel};

/// Takes the address off and sees that it is gone, from a process that did not take it: a guard,
/// `ExecStopPost=`, an operator's command. Does nothing when it is not there.
///
/// Blocks for as long as the kernel takes, which is a fraction of a millisecond unless it is busy
/// with interfaces; on a runtime, call it from `spawn_blocking`.
///
/// Where the interface is gone, the address can only be on one that was renamed, so it is taken
/// off whichever interface has it. Otherwise other interfaces are left alone and named in
/// [`Released::elsewhere`].
///
/// # Errors
/// [`VipError::NotPermitted`]; [`VipError::Stays`] when something adds it again and again;
/// [`VipError::Kernel`]. The address may be there: try again.
pub fn release_now(config: &VipConfig) -> Result<Released, VipError> {
    kernel::release(config, None)
}

/// What the kernel says of the address at this moment; blocks like [`release_now`], and needs no
/// permission.
///
/// # Errors
/// [`VipError::Kernel`].
pub fn state_now(config: &VipConfig) -> Result<VipState, VipError> {
    kernel::state(config)
}

//! Who else starts a unit, and putting an end to that.

use crate::{SelfStart, Unit, UnitError, UnitFileState};

impl Unit {
    /// Who starts it without being asked to by its owner, as far as systemd knows now.
    ///
    /// # Errors
    /// [`UnitError::Bus`], [`UnitError::TimedOut`].
    pub async fn starts_itself(&self) -> Result<SelfStart, UnitError> {
        let asking = async {
            let (unit, _) = self.link.objects(&self.name).await?;
            let mut starters = unit.wanted_by().await?;
            starters.extend(unit.required_by().await?);
            starters.extend(unit.bound_by().await?);
            starters.extend(unit.triggered_by().await?);
            // An older systemd does not have it.
            starters.extend(unit.upheld_by().await.unwrap_or_default());
            let state = UnitFileState::parse(&unit.unit_file_state().await?);
            Ok(SelfStart::of(state, &starters))
        };
        self.looking("say who starts it", asking).await
    }

    /// Takes away every link that starts it, as `systemctl disable` does, and says who still does
    /// afterwards. It goes on when it runs.
    ///
    /// # Errors
    /// [`UnitError::Denied`]: a rule of polkit cannot allow this for one unit, so it needs root.
    /// [`UnitError::Bus`], [`UnitError::TimedOut`].
    pub async fn disable(&self) -> Result<SelfStart, UnitError> {
        let doing = "disable";
        let disabling = async {
            let (unit, _) = self.link.objects(&self.name).await?;
            // Links lead to this name, whatever it is called here.
            let id = unit.id().await?;
            let manager = self.link.manager().await?;
            for runtime in [false, true] {
                let removed = manager.disable_unit_files(&[&id], runtime).await?;
                for (_, link, _) in removed {
                    tracing::info!(unit = %id, %link, "the link that starts it was removed");
                }
            }
            manager.reload().await
        };
        self.looking(doing, disabling).await?;
        self.starts_itself().await
    }
}

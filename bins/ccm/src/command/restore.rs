//! `ccm restore`: the cluster's database, or an earlier state of it, into a file of its own.
//!
//! Only reads: with daemons or without, it changes nothing in the cluster and is never a
//! candidate.

use std::path::{Path, PathBuf};

use ccm_agent::Settings;
use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::plan::{Restorable, RestorePlan, Target};
use ccm_wal_ltx::restore::{RestoreOptions, Restored, preview, restore};
use serde_json::json;

use crate::bucket::{file_json, moment, restore_failure};
use crate::cli::{Restore, Shared};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::exit::{Ended, Exit, Failure};
use crate::fetching::Fetching;
use crate::{print, progress, table};

/// Digits of a transaction in a file name.
const HEX_LEN: usize = 16;

pub(crate) async fn run(shared: &Shared, asked: &Restore) -> Ended {
    let settings = Config::load(shared.config.as_deref())?.settings();
    let target = target(asked)?;
    check_output(&asked.output, &settings)?;
    let cluster = Cluster::with(settings).await?;
    let store = cluster.bucket().await?;
    let options = RestoreOptions {
        target,
        check: !asked.no_check,
        ..RestoreOptions::new(asked.output.clone())
    };
    let plan = preview(&store, &options).await.map_err(restore_failure)?;
    if asked.dry_run {
        return dry_run(shared, &asked.output, &plan);
    }
    if !shared.json {
        let from = cluster.bucket_name();
        print::line(&format!("Restoring {} from bucket {from}...", asked.output.display()))?;
        print::line(&format!("  {}: {}", state(&plan.state), files(&plan)))?;
    }
    // A restore lists anew: between now and then the bucket may have gone on.
    let fetching = Fetching::new(shared.json);
    let work = restore(&store, &options, |progress| fetching.report(progress));
    let restored = fetching.during(work).await?.map_err(restore_failure)?;
    done(shared, &asked.output, &restored, &fetching)?;
    Ok(Exit::Done)
}

/// What is asked for.
fn target(asked: &Restore) -> Result<Target, Failure> {
    if let Some(text) = &asked.timestamp {
        let moment: Result<jiff::Timestamp, _> = text.parse();
        return moment.map(|moment| Target::At(moment.as_millisecond())).map_err(|_| {
            Failure::usage(format!(
                "--timestamp {text:?} is not a moment: write it in RFC 3339 with a zone, like \
                 2026-11-24T13:00:00Z or 2026-11-24T14:00:00+01:00"
            ))
        });
    }
    let Some(text) = &asked.txid else { return Ok(Target::Newest) };
    let txid = if text.len() == HEX_LEN {
        Txid::from_hex(text).ok()
    } else {
        text.parse().ok().map(Txid::new)
    };
    txid.filter(|txid| *txid > Txid::ZERO).map(Target::Txid).ok_or_else(|| {
        Failure::usage(format!(
            "--txid {text:?} is not a transaction: write its number, from 1 on, or the 16 \
             hexadecimal digits of a file name"
        ))
    })
}

/// A restored database has no place in a node: the daemon would set it aside for the cluster's.
fn check_output(output: &Path, settings: &Settings) -> Result<(), Failure> {
    let own =
        [("backend.dataPath", &settings.files.data), ("wal.replicaPath", &settings.files.replica)];
    for (key, path) in own {
        if resolved(path) == resolved(output) {
            return Err(Failure::usage(format!(
                "{} is {key} of this node, which its daemon looks after: it would set a restored \
                 database aside. Restore to another file",
                output.display()
            )));
        }
    }
    Ok(())
}

/// The path with the links of its directory followed.
fn resolved(path: &Path) -> PathBuf {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (std::fs::canonicalize(dir), path.file_name()) {
        (Ok(dir), Some(name)) => dir.join(name),
        (Ok(_) | Err(_), _) => path.to_path_buf(),
    }
}

fn dry_run(shared: &Shared, output: &Path, plan: &RestorePlan) -> Ended {
    if shared.json {
        print::json(&json!({
            "ok": true,
            "dryRun": true,
            "output": output,
            "txid": plan.state.txid,
            "committedAt": moment(plan.state.timestamp_ms),
            "epoch": plan.files.last().and_then(|file| file.epoch),
            "files": plan.files.len(),
            "downloadBytes": plan.bytes(),
            "unreachableTxid": plan.unreachable,
            "plan": plan.files.iter().map(file_json).collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Done);
    }
    print::line(&format!("Would restore {}, to {}:", state(&plan.state), output.display()))?;
    let cells: Vec<Vec<String>> = plan
        .files
        .iter()
        .map(|file| {
            let name = format!("  {}", file.name);
            vec![name, progress::bytes(file.size), moment(file.timestamp_ms)]
        })
        .collect();
    for line in table::lines(&cells) {
        print::line(&line)?;
    }
    print::line(&format!("{} to download; nothing was written", files(plan)))?;
    warn_unreachable(plan.unreachable, &plan.state)?;
    Ok(Exit::Done)
}

fn done(
    shared: &Shared,
    output: &Path,
    restored: &Restored,
    fetching: &Fetching,
) -> std::io::Result<()> {
    if shared.json {
        return print::json(&json!({
            "ok": true,
            "dryRun": false,
            "output": output,
            "txid": restored.state.txid,
            "committedAt": moment(restored.state.timestamp_ms),
            "epoch": restored.epoch,
            "files": restored.files,
            "downloadedBytes": restored.downloaded_bytes,
            "resumed": restored.resumed,
            "unreachableTxid": restored.unreachable,
            "pageSize": restored.page_size,
            "pages": restored.pages,
            "bytes": restored.bytes(),
        }));
    }
    if restored.resumed {
        print::line("  went on from an earlier attempt")?;
    }
    let epoch = restored.epoch.map_or_else(String::new, in_epoch);
    print::line(&format!(
        "✓ Restored {}: {}{epoch}, {} in {}",
        output.display(),
        state(&restored.state),
        progress::bytes(restored.bytes()),
        fetching.took(),
    ))?;
    warn_unreachable(restored.unreachable, &restored.state)
}

fn in_epoch(epoch: Epoch) -> String {
    format!(", epoch {epoch}")
}

fn state(state: &Restorable) -> String {
    format!("transaction {}, committed {}", state.txid, moment(state.timestamp_ms))
}

fn files(plan: &RestorePlan) -> String {
    let plural = if plan.files.len() == 1 { "" } else { "s" };
    format!("{} file{plural}, {}", plan.files.len(), progress::bytes(plan.bytes()))
}

/// Later transactions were committed in time, but the bucket has lost the way to them.
fn warn_unreachable(later: Option<Txid>, state: &Restorable) -> std::io::Result<()> {
    let Some(later) = later else { return Ok(()) };
    print::line(&format!(
        "⚠ Transactions up to {later} were committed by then too, but no files lead beyond {}: see \
         `ccm ltx verify`",
        state.txid
    ))
}

//! `ccm verify`: this node's replica against what the bucket leads to, page by page.
//!
//! A daemon may run. Where there is no replica the newest state of the bucket is restored and
//! checked, and compared with nothing.

use std::path::Path;

use ccm_wal_ltx::store::NatsStore;
use ccm_wal_ltx::verify::{Compared, Led, VerifyError, VerifyOptions, newest, replica};
use serde_json::json;

use crate::bucket::verify_failure;
use crate::cli::Shared;
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit};
use crate::fetching::Fetching;
use crate::{print, progress, table};

/// Runs of pages that are told.
const RUNS_MAX: usize = 20;

pub(crate) async fn run(shared: &Shared, check: bool) -> Ended {
    let cluster = Cluster::connect(shared).await?;
    let store = cluster.bucket().await?;
    let path = cluster.settings.files.replica.clone();
    let mut dir = path.clone().into_os_string();
    dir.push(".ccm-verify");
    let options = VerifyOptions { check, ..VerifyOptions::new(dir.into()) };
    if !shared.json {
        let (node, bucket) = (&cluster.settings.node, cluster.bucket_name());
        print::line(&format!("Verifying the replica of {node} against bucket {bucket}..."))?;
    }
    let fetching = Fetching::new(shared.json);
    let work = replica(&store, &path, &options, |progress| fetching.report(progress));
    match fetching.during(work).await? {
        Ok(compared) => tell(shared, &path, &compared, check),
        Err(VerifyError::NoReplica { path }) => alone(shared, &store, &path, &options).await,
        Err(error) => Err(verify_failure(error)),
    }
}

/// There is no replica: the bucket by itself.
async fn alone(shared: &Shared, store: &NatsStore, path: &Path, options: &VerifyOptions) -> Ended {
    if !shared.json {
        print::line(&format!(
            "⚠ There is no replica at {}: only a PASSIVE node has one. Checking the bucket alone",
            path.display()
        ))?;
    }
    let fetching = Fetching::new(shared.json);
    let work = newest(store, options, |progress| fetching.report(progress));
    let led: Led = fetching.during(work).await?.map_err(verify_failure)?;
    if shared.json {
        print::json(&json!({
            "ok": true,
            "compared": "none",
            "epoch": led.epoch,
            "txid": led.state.txid,
            "pageSize": led.page_size,
            "pages": led.pages,
            "files": led.files,
            "downloadedBytes": led.downloaded_bytes,
            "differingPages": null,
            "differingRuns": null,
        }))?;
        return Ok(Exit::Done);
    }
    let epoch = led.epoch.map(|epoch| epoch.get());
    print::line(&leads(led.state.txid.get(), epoch, led.files, led.downloaded_bytes))?;
    checked(options.check)?;
    Ok(Exit::Done)
}

fn tell(shared: &Shared, path: &Path, compared: &Compared, check: bool) -> Ended {
    let same = compared.differing.is_empty();
    let exit = if same { Exit::Done } else { Exit::Internal };
    let (position, runs) = (compared.position, table::to_runs(&compared.differing));
    if shared.json {
        print::json(&json!({
            "ok": same,
            "compared": "replica",
            "epoch": position.epoch,
            "txid": position.txid,
            "pageSize": compared.page_size,
            "pages": compared.pages,
            "files": compared.files,
            "downloadedBytes": compared.downloaded_bytes,
            "differingPages": compared.differing.len(),
            "differingRuns": runs,
        }))?;
        return Ok(exit);
    }
    let (txid, epoch) = (position.txid.get(), Some(position.epoch.get()));
    print::line(&leads(txid, epoch, compared.files, compared.downloaded_bytes))?;
    checked(check)?;
    let (path, pages, size) = (path.display(), compared.pages, compared.page_size);
    if same {
        let line = format!("✓ {path} is the same page by page: {pages} pages of {size} bytes");
        print::line(&line)?;
    } else {
        let differing = compared.differing.len();
        let runs = table::runs(&runs, RUNS_MAX);
        print::line(&format!("✗ {differing} of {pages} pages of {path} differ: {runs}"))?;
        print::line(
            "  Stop the daemon, move the replica away and start the daemon: it makes a new one",
        )?;
    }
    Ok(exit)
}

fn leads(txid: u64, epoch: Option<u64>, files: usize, bytes: u64) -> String {
    let epoch = epoch.map_or_else(String::new, |epoch| format!(", epoch {epoch}"));
    let plural = if files == 1 { "" } else { "s" };
    let bytes = progress::bytes(bytes);
    format!("✓ The bucket leads to transaction {txid}{epoch}: {files} file{plural}, {bytes}")
}

fn checked(check: bool) -> std::io::Result<()> {
    if check {
        print::line("✓ SQLite finds that database in order (quick_check)")
    } else {
        Ok(())
    }
}

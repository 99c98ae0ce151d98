//! `ccm diverged`: data files of this node that were set aside, because they may hold what the
//! cluster does not have.

use std::time::SystemTime;

use ccm_types::Txid;
use ccm_wal_ltx::local::{self, Diverged as Aside};
use ccm_wal_ltx::verify::{Difference, VerifyOptions, diverged};
use serde_json::{Value, json};

use crate::bucket::{moment, verify_failure};
use crate::cli::{Diverged, Shared};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::exit::{Ended, Exit, Failure};
use crate::fetching::Fetching;
use crate::{print, progress, table};

pub(crate) async fn run(shared: &Shared, asked: &Diverged) -> Ended {
    let settings = Config::load(shared.config.as_deref())?.settings();
    let data = &settings.files.data;
    let files = local::diverged(data).map_err(|error| Failure::new(Exit::Usage, error))?;
    let dir = data.parent().map_or_else(String::new, |dir| dir.display().to_string());
    match asked {
        Diverged::List => list(shared, &files, &dir),
        Diverged::Drop { name, yes } => drop(shared, &find(&files, name, &dir)?, *yes),
        Diverged::Show { name } => {
            let file = find(&files, name, &dir)?;
            show(shared, &Cluster::with(settings).await?, &file).await
        }
    }
}

fn name(file: &Aside) -> String {
    file.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn find(files: &[Aside], wanted: &str, dir: &str) -> Result<Aside, Failure> {
    let found = files.iter().find(|file| name(file) == wanted).cloned();
    found.ok_or_else(|| {
        Failure::usage(format!(
            "no file {wanted:?} was set aside in {dir}: see `ccm diverged list` for the names"
        ))
    })
}

/// When something was last written to it.
fn written(file: &Aside) -> Option<String> {
    let mut wal = file.path.clone().into_os_string();
    wal.push("-wal");
    let modified = |path: &std::path::Path| std::fs::metadata(path).ok()?.modified().ok();
    let last = modified(&file.path).max(modified(std::path::Path::new(&wal)))?;
    let since = last.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(moment(i64::try_from(since.as_millis()).ok()?))
}

fn file_json(file: &Aside) -> Value {
    json!({
        "name": name(file),
        "path": file.path,
        "epoch": file.epoch,
        "txid": file.txid,
        "bytes": file.bytes,
        "writtenAt": written(file),
    })
}

fn list(shared: &Shared, files: &[Aside], dir: &str) -> Ended {
    if shared.json {
        print::json(&json!({ "files": files.iter().map(file_json).collect::<Vec<_>>() }))?;
        return Ok(Exit::Done);
    }
    if files.is_empty() {
        print::line(&format!("No data file was set aside in {dir}"))?;
        return Ok(Exit::Done);
    }
    let header = ["NAME", "EPOCH", "TXID", "SIZE", "WRITTEN"];
    let mut cells = vec![header.map(String::from).to_vec()];
    cells.extend(files.iter().map(|file| {
        vec![
            name(file),
            file.epoch.to_string(),
            file.txid.map_or_else(|| String::from("unknown"), |txid| txid.to_string()),
            progress::bytes(file.bytes),
            written(file).unwrap_or_else(|| String::from("unknown")),
        ]
    }));
    for line in table::lines(&cells) {
        print::line(&line)?;
    }
    print::line(&format!("In {dir}; what they have: `ccm diverged show NAME`"))?;
    Ok(Exit::Done)
}

async fn show(shared: &Shared, cluster: &Cluster, file: &Aside) -> Ended {
    let store = cluster.bucket().await?;
    let mut dir = file.path.clone().into_os_string();
    dir.push(".ccm-verify");
    let options = VerifyOptions { check: false, ..VerifyOptions::new(dir.into()) };
    let fetching = Fetching::new(shared.json);
    let work = diverged(&store, file, &options, |progress| fetching.report(progress));
    let difference = fetching.during(work).await?.map_err(verify_failure)?;
    if shared.json {
        print::json(&difference_json(file, &difference))?;
    } else {
        print::text(&difference_words(file, &difference))?;
    }
    Ok(Exit::Done)
}

fn difference_json(file: &Aside, difference: &Difference) -> Value {
    let tables = difference.tables.as_ref().map(|tables| {
        let table = |t: &ccm_wal_ltx::verify::TableDifference| {
            json!({ "table": t.table, "rowsHere": t.here, "rowsCluster": t.there })
        };
        tables.iter().map(table).collect::<Vec<_>>()
    });
    json!({
        "file": file_json(file),
        "comparedTxid": difference.state.txid,
        "comparedCommittedAt": moment(difference.state.timestamp_ms),
        "exact": difference.exact,
        "ownFromTxid": file.txid.map(Txid::next),
        "ownCommits": difference.commits,
        "clusterTxid": difference.tip.txid,
        "clusterCommittedAt": moment(difference.tip.timestamp_ms),
        "pageSize": difference.page_size,
        "differingPages": difference.pages,
        "differingBytes": difference.pages * u64::from(difference.page_size),
        "tables": tables,
    })
}

fn difference_words(file: &Aside, difference: &Difference) -> String {
    let state = &difference.state;
    let (txid, at) = (state.txid, moment(state.timestamp_ms));
    let mut text =
        format!("{}, compared with the cluster at transaction {txid} ({at})\n", name(file));
    text.push_str(&parting(file, difference));
    if !difference.exact {
        text.push_str(
            "⚠ The bucket does not have the state at which they parted any more, or nobody knows \
             it: differences may be the cluster's\n",
        );
    }
    if difference.pages == 0 {
        text.push_str("✓ It has nothing that the cluster did not have\n");
        return text;
    }
    let bytes = progress::bytes(difference.pages * u64::from(difference.page_size));
    let plural = if difference.pages == 1 { "page differs" } else { "pages differ" };
    text.push_str(&format!("  {} {plural}, {bytes}\n", difference.pages));
    let Some(tables) = &difference.tables else {
        text.push_str("  It is too large to count rows\n");
        return text;
    };
    if tables.is_empty() {
        text.push_str("  Every table has as many rows in both; rows may have other content\n");
        return text;
    }
    let mut cells = vec![["  TABLE", "ROWS HERE", "IN THE CLUSTER"].map(String::from).to_vec()];
    let rows = |rows: Option<u64>| rows.map_or_else(|| String::from("no table"), |n| n.to_string());
    cells
        .extend(tables.iter().map(|t| vec![format!("  {}", t.table), rows(t.here), rows(t.there)]));
    for line in table::lines(&cells) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Which transactions are its own, and where the cluster is.
fn parting(file: &Aside, difference: &Difference) -> String {
    let mut text = match file.txid {
        Some(txid) => format!(
            "  The bucket has its transactions up to {txid} of epoch {}; what came after is its \
             own",
            file.epoch
        ),
        None => String::from("  Nobody knows which of its transactions the bucket has"),
    };
    match difference.commits {
        Some(1) => text.push_str(": 1 commit in its WAL"),
        Some(n) => text.push_str(&format!(": {n} commits in its WAL")),
        None => {}
    }
    let (tip, at) = (difference.tip.txid, moment(difference.tip.timestamp_ms));
    text.push_str(&format!("\n  The cluster is at transaction {tip} now ({at})\n"));
    text
}

fn drop(shared: &Shared, file: &Aside, yes: bool) -> Ended {
    let what = format!("{} ({})", file.path.display(), progress::bytes(file.bytes));
    if !yes {
        return Err(Failure::usage(format!(
            "this would remove {what} for good, and with it what only it may have: add --yes"
        )));
    }
    file.remove().map_err(|error| Failure::new(Exit::Internal, error))?;
    if shared.json {
        print::json(&json!({ "ok": true, "removed": file.path, "bytes": file.bytes }))?;
    } else {
        print::line(&format!("✓ Removed {what}"))?;
    }
    Ok(Exit::Done)
}

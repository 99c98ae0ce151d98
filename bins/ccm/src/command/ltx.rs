//! `ccm ltx`: the LTX files in the bucket.

mod show;
mod verify;

use ccm_wal_ltx::store::{Level, LtxInfo, LtxName};
use serde_json::json;

use crate::bucket::{file_json, moment};
use crate::cli::{Ltx, Shared};
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit, Failure};
use crate::{print, progress, table};

pub(crate) async fn run(shared: &Shared, ltx: &Ltx) -> Ended {
    let cluster = Cluster::connect(shared).await?;
    let store = cluster.bucket().await?;
    let files = cluster.files(&store).await?;
    let bucket = cluster.bucket_name();
    match ltx {
        Ltx::List { level } => list(shared, &bucket, &files, level.and_then(Level::new)),
        Ltx::Show { name } => show::run(shared, &store, &find(&files, &bucket, name)?).await,
        Ltx::Verify { name: None } => verify::all(shared, &store, &bucket, &files).await,
        Ltx::Verify { name: Some(name) } => {
            verify::one(shared, &store, &bucket, find(&files, &bucket, name)?).await
        }
    }
}

/// The file that is meant, by its name as `list` prints it.
fn find(files: &[LtxInfo], bucket: &str, text: &str) -> Result<LtxInfo, Failure> {
    let name: LtxName = text.parse().map_err(|error| {
        Failure::usage(format!("{error}: see `ccm ltx list` for the names of the files"))
    })?;
    let found = files.iter().find(|file| file.name == name).cloned();
    found.ok_or_else(|| {
        Failure::usage(format!("there is no file {name} in bucket {bucket}: see `ccm ltx list`"))
    })
}

fn list(shared: &Shared, bucket: &str, files: &[LtxInfo], level: Option<Level>) -> Ended {
    let of = |file: &&LtxInfo| level.is_none_or(|level| file.name.level == level);
    let files: Vec<&LtxInfo> = files.iter().filter(of).collect();
    let bytes = files.iter().map(|file| file.size).sum();
    if shared.json {
        print::json(&json!({
            "bucket": bucket,
            "count": files.len(),
            "bytes": bytes,
            "files": files.iter().map(|file| file_json(file)).collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Done);
    }
    if files.is_empty() {
        let which = level.map_or_else(String::new, |level| format!(" of level {}", level.get()));
        print::line(&format!("Bucket {bucket} has no files{which}"))?;
        return Ok(Exit::Done);
    }
    let header = ["NAME", "FIRST", "LAST", "SIZE", "COMMITTED", "EPOCH"];
    let mut cells = vec![header.map(String::from).to_vec()];
    cells.extend(files.iter().map(|file| {
        vec![
            file.name.to_string(),
            file.name.min.to_string(),
            file.name.max.to_string(),
            progress::bytes(file.size),
            moment(file.timestamp_ms),
            file.epoch.map_or_else(|| String::from("-"), |epoch| epoch.to_string()),
        ]
    }));
    for line in table::lines(&cells) {
        print::line(&line)?;
    }
    print::line(&counted(files.len(), bytes))?;
    Ok(Exit::Done)
}

/// `2 files, 3.4 MiB`
fn counted(files: usize, bytes: u64) -> String {
    let plural = if files == 1 { "" } else { "s" };
    format!("{files} file{plural}, {}", progress::bytes(bytes))
}

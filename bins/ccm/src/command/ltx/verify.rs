//! `ccm ltx verify`: files read to their end, and whether they fit together.

use ccm_wal_ltx::plan::{Finding, Severity, Target, audit, resolve};
use ccm_wal_ltx::store::{LtxInfo, NatsStore};
use ccm_wal_ltx::verify::objects;
use serde_json::json;

use super::counted;
use super::show::STALL;
use crate::bucket::{DAMAGED, restore_failure};
use crate::cli::Shared;
use crate::exit::{Ended, Exit, Failure};
use crate::fetching::Fetching;
use crate::print;

/// All files, and the whole.
pub(super) async fn all(
    shared: &Shared,
    store: &NatsStore,
    bucket: &str,
    files: &[LtxInfo],
) -> Ended {
    begin(shared, bucket, files)?;
    let mut findings = read(shared, store, files).await?;
    findings.extend(audit(files));
    let tip = resolve(files, Target::Newest).ok();
    let leads = match (&tip, files.is_empty()) {
        (_, true) => String::from(" has no files"),
        (Some(state), _) => format!(" leads to transaction {}", state.txid),
        (None, _) => String::from(" does not lead to its end"),
    };
    let right = format!("✓ Digests, formats and checksums are right, and bucket {bucket}{leads}");
    tell(shared, files, &findings, &right, tip.map(|state| state.txid.get()))
}

/// One file.
pub(super) async fn one(shared: &Shared, store: &NatsStore, bucket: &str, file: LtxInfo) -> Ended {
    let files = [file];
    begin(shared, bucket, &files)?;
    let findings = read(shared, store, &files).await?;
    let right = "✓ Digest, format and checksum are right";
    tell(shared, &files, &findings, right, Some(files[0].name.max.get()))
}

fn begin(shared: &Shared, bucket: &str, files: &[LtxInfo]) -> std::io::Result<()> {
    if shared.json {
        return Ok(());
    }
    let what = counted(files.len(), files.iter().map(|file| file.size).sum());
    print::line(&format!("Verifying {what}, of bucket {bucket}..."))
}

async fn read(
    shared: &Shared,
    store: &NatsStore,
    files: &[LtxInfo],
) -> Result<Vec<Finding>, Failure> {
    let fetching = Fetching::new(shared.json);
    let work = objects(store, files, STALL, |done, total| fetching.bytes(done, total));
    fetching.during(work).await?.map_err(restore_failure)
}

fn tell(
    shared: &Shared,
    files: &[LtxInfo],
    findings: &[Finding],
    right: &str,
    tip: Option<u64>,
) -> Ended {
    let problems = findings.iter().filter(|f| f.severity == Severity::Problem).count();
    if shared.json {
        print::json(&json!({
            "ok": problems == 0,
            "files": files.len(),
            "bytes": files.iter().map(|file| file.size).sum::<u64>(),
            "txid": tip,
            "advice": findings.iter().any(is_damaged).then_some(DAMAGED),
            "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
        }))?;
    } else {
        for finding in findings {
            print::line(&finding_words(finding))?;
        }
        if problems == 0 {
            print::line(right)?;
        } else {
            let plural = if problems == 1 { "problem" } else { "problems" };
            print::line(&format!("✗ {problems} {plural} found"))?;
            if findings.iter().any(is_damaged) {
                print::line(&format!("  What to do: {DAMAGED}"))?;
            }
        }
    }
    Ok(if problems == 0 { Exit::Done } else { Exit::Internal })
}

/// It is about one file, which nobody can use.
fn is_damaged(finding: &Finding) -> bool {
    finding.severity == Severity::Problem && finding.name.is_some()
}

fn finding_json(finding: &Finding) -> serde_json::Value {
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Problem => "problem",
    };
    let name = finding.name.map(|name| name.to_string());
    json!({ "severity": severity, "name": name, "what": finding.what })
}

fn finding_words(finding: &Finding) -> String {
    let sign = match finding.severity {
        Severity::Note => "⚠",
        Severity::Problem => "✗",
    };
    let name = finding.name.map_or_else(String::new, |name| format!("{name}: "));
    format!("{sign} {name}{}", finding.what)
}

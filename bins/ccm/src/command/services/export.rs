//! `ccm services export`: to standard output, or to a file that is kept current.

use ccm_discovery::{Filter, export};

use super::output::Output;
use crate::cli::Shared;
use crate::cli::services::Export;
use crate::cluster::Cluster;
use crate::exit::{Ended, Exit};
use crate::print;

pub(super) async fn run(shared: &Shared, asked: &Export) -> Ended {
    let (filter, format) = (asked.which.filter(), asked.format.of_export());
    // A file that cannot be written is known before anybody is asked.
    let output = asked.output.as_deref().map(Output::to).transpose()?;
    let cluster = Cluster::connect(shared).await?;
    if let (Some(output), true) = (&output, asked.watch) {
        return keep(&cluster, &filter, format, output).await;
    }
    let listed = super::records(&cluster).list(&filter).await.map_err(super::failure)?;
    super::name_garbage(&listed, &cluster.settings.cluster.services_bucket());
    let text = export::text(format, &listed.records);
    match output {
        Some(output) => drop(output.replace(&text)?),
        None => print::text(&text)?,
    }
    Ok(Exit::Done)
}

/// Writes the file whenever what is to be in it has changed. While NATS does not answer, it stays
/// as it is.
async fn keep(
    cluster: &Cluster,
    filter: &Filter,
    format: export::Format,
    output: &Output,
) -> Ended {
    let mut watch = super::records(cluster).watch();
    let mut away = false;
    loop {
        match watch.next().await {
            Ok(_) => {}
            Err(error) if error.is_transient() => {
                print::error(&format!("warning: {error}: the file stays as it is"));
                away = true;
                continue;
            }
            Err(error) => return Err(super::failure(error)),
        }
        if std::mem::take(&mut away) {
            print::error("NATS answers again");
        }
        let records = filter.select(watch.records());
        if output.replace(&export::text(format, &records))? {
            print::error(&format!("wrote {}", output.path().display()));
        }
    }
}

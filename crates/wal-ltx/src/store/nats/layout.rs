//! Names and metadata exactly as NATS object stores and Litestream lay them out.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use ccm_types::Epoch;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

use super::api::StoredMessage;
use crate::store::{LtxInfo, LtxName, StoreError};

/// The chunk subject that carries the fence: no client lists chunks.
const FENCE_TOKEN: &str = "ccm-fence";

/// A message on this chunk subject says nothing: that it is accepted proves the fence.
const NOTE_TOKEN: &str = "ccm-note";

const TIMESTAMP_HEADER: &str = "Litestream-Timestamp";
const EPOCH_HEADER: &str = "Ccm-Epoch";

/// What Go writes for an unset time; object stores leave the field to the reader.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// Subjects and stream of one bucket.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) bucket: String,
    pub(super) stream: String,
}

impl Layout {
    pub(super) fn new(bucket: &str) -> Self {
        Self { bucket: String::from(bucket), stream: format!("OBJ_{bucket}") }
    }

    pub(super) fn all_metas(&self) -> String {
        format!("$O.{}.M.>", self.bucket)
    }

    pub(super) fn is_meta(&self, subject: &str) -> bool {
        subject.starts_with(&format!("$O.{}.M.", self.bucket))
    }

    pub(super) fn all_chunks(&self) -> String {
        format!("$O.{}.C.>", self.bucket)
    }

    pub(super) fn meta(&self, name: LtxName) -> String {
        format!("$O.{}.M.{}", self.bucket, URL_SAFE.encode(name.to_string()))
    }

    pub(super) fn chunks(&self, nuid: &str) -> String {
        format!("$O.{}.C.{nuid}", self.bucket)
    }

    pub(super) fn fence(&self) -> String {
        self.chunks(FENCE_TOKEN)
    }

    pub(super) fn note(&self) -> String {
        self.chunks(NOTE_TOKEN)
    }

    pub(super) fn foreign(&self, why: impl Into<String>) -> StoreError {
        StoreError::ForeignBucket { bucket: self.bucket.clone(), why: why.into() }
    }
}

/// Metadata of an object as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MetaJson {
    name: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    options: Option<Options>,
    bucket: String,
    nuid: String,
    size: u64,
    #[serde(default, deserialize_with = "or_default")]
    mtime: String,
    chunks: u64,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    digest: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

/// Some clients write `null` for what is not there.
fn or_default<'de, D, T>(json: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(json)?.unwrap_or_default())
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Options {
    #[serde(default)]
    max_chunk_size: u64,
}

/// What the metadata of one LTX object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) info: LtxInfo,
    pub(super) nuid: String,
    pub(super) chunks: u64,
    pub(super) digest: String,
}

/// The content of an object on its way in, once it has been read.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) size: u64,
    pub(super) chunks: u64,
    pub(super) digest: String,
}

/// A digest as object stores write it.
pub(crate) fn digest_text(hash: Sha256) -> String {
    format!("SHA-256={}", URL_SAFE.encode(hash.finalize()))
}

impl Meta {
    /// Reads a metadata message; `None` for a deleted object.
    pub(super) fn read(
        layout: &Layout,
        message: &StoredMessage,
    ) -> Result<Option<Self>, StoreError> {
        let json: MetaJson = serde_json::from_slice(&message.payload).map_err(|e| {
            layout.foreign(format!("message {} is not object metadata: {e}", message.sequence))
        })?;
        if json.deleted {
            return Ok(None);
        }
        let name: LtxName = json.name.parse().map_err(|_| {
            layout.foreign(format!("it holds '{}', which is not an LTX file", json.name))
        })?;
        if json.nuid.is_empty() || json.nuid.contains(|c: char| !c.is_ascii_alphanumeric()) {
            return Err(layout.foreign(format!("{name} has the chunk id '{}'", json.nuid)));
        }
        let header = |key: &str| json.headers.get(key).and_then(|v| v.first());
        let time = header(TIMESTAMP_HEADER).unwrap_or(&message.time);
        let timestamp_ms = time.parse::<Timestamp>().map_or(0, Timestamp::as_millisecond);
        let epoch = header(EPOCH_HEADER).and_then(|v| v.parse().ok()).map(Epoch::new);
        let info = LtxInfo { name, size: json.size, timestamp_ms, epoch };
        Ok(Some(Self { info, nuid: json.nuid, chunks: json.chunks, digest: json.digest }))
    }

    /// The metadata message of this object.
    pub(super) fn to_json(&self, layout: &Layout, chunk_len: usize) -> MetaJson {
        let mut headers = BTreeMap::new();
        if let Some(epoch) = self.info.epoch {
            headers.insert(String::from(EPOCH_HEADER), vec![epoch.to_string()]);
        }
        if let Ok(time) = Timestamp::from_millisecond(self.info.timestamp_ms) {
            headers.insert(String::from(TIMESTAMP_HEADER), vec![time.to_string()]);
        }
        MetaJson {
            name: self.info.name.to_string(),
            headers,
            options: Some(Options { max_chunk_size: chunk_len as u64 }),
            bucket: layout.bucket.clone(),
            nuid: self.nuid.clone(),
            size: self.info.size,
            mtime: String::from(NO_TIME),
            chunks: self.chunks,
            digest: self.digest.clone(),
            deleted: false,
        }
    }

    /// The metadata message that says that this object is deleted.
    pub(super) fn to_tombstone(&self, layout: &Layout, chunk_len: usize) -> MetaJson {
        let json = self.to_json(layout, chunk_len);
        MetaJson { size: 0, chunks: 0, digest: String::new(), deleted: true, ..json }
    }
}

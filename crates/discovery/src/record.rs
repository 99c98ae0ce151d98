//! The record of one service on one node, and the key it has. Pure.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ccm_types::{ClusterId, NodeId, ServiceName};
use serde::{Deserialize, Serialize};

use crate::Health;

/// What is known of one service on one node.
///
/// Fields are added, never changed; unknown ones are ignored. In JSON the names are in camel case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRecord {
    /// The cluster it belongs to.
    pub app: ClusterId,
    /// The service.
    pub name: ServiceName,
    /// The node it is on.
    pub node: NodeId,
    /// Where the node is.
    pub address: IpAddr,
    /// Where the service listens.
    pub port: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// What is to be asked for.
    #[serde(default)]
    pub path: Option<String>,
    /// What is asked whether it is healthy.
    #[serde(default)]
    pub health_path: Option<String>,
    /// What the operator says of it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// What it is found by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How it is.
    pub health: Health,
    /// When this run of the node announced it first, RFC 3339, by the node's clock.
    pub registered_at: String,
    /// When the node last said so, RFC 3339, by the node's clock.
    pub updated_at: String,
}

impl ServiceRecord {
    /// Address and port; an IPv6 address gets brackets when it is shown.
    #[must_use]
    pub fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Its key in the bucket.
    #[must_use]
    pub fn key(&self) -> String {
        key(&self.name, &self.node)
    }

    /// Reads what is at `key`.
    ///
    /// # Errors
    /// [`GarbageError`] when it is no record, or that of another service or node.
    pub fn read(key: &str, value: &[u8]) -> Result<Self, GarbageError> {
        let record: Self = serde_json::from_slice(value).map_err(GarbageError::Json)?;
        if record.port == 0 {
            return Err(GarbageError::Port);
        }
        let belongs = record.key();
        if belongs == key { Ok(record) } else { Err(GarbageError::Key { belongs }) }
    }

    /// Whether `other` says the same, but for the time at which it was said.
    pub(crate) fn says_as(&self, other: &Self) -> bool {
        *self == Self { updated_at: self.updated_at.clone(), ..other.clone() }
    }
}

/// The key of a record: `<service>.<node as one token>`.
#[must_use]
pub fn key(name: &ServiceName, node: &NodeId) -> String {
    format!("{name}.{}", node.to_token())
}

/// Why a value in the bucket is no record.
#[derive(Debug, thiserror::Error)]
pub enum GarbageError {
    /// It is not the JSON of a record.
    #[error("it is no service record: {0}")]
    Json(serde_json::Error),
    /// It is a record of something else.
    #[error("it is the record of {belongs}")]
    Key {
        /// The key the record belongs to.
        belongs: String,
    },
    /// Nothing listens on port 0.
    #[error("its port is 0")]
    Port,
}

/// What a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Something over TCP.
    Tcp,
    /// Something over UDP.
    Udp,
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// gRPC.
    Grpc,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Tcp, Self::Udp, Self::Http, Self::Https, Self::Grpc, Self::Ws, Self::Wss];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Http => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Whether it is HTTP or begins as such.
    #[must_use]
    pub const fn is_web(self) -> bool {
        match self {
            Self::Http | Self::Https | Self::Grpc | Self::Ws | Self::Wss => true,
            Self::Tcp | Self::Udp => false,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|protocol| protocol.as_str() == text);
        found.ok_or_else(|| format!("use one of {}", known()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A record of the service `name` on the node `node`.
    pub(crate) fn record(name: &str, node: &str) -> ServiceRecord {
        ServiceRecord {
            app: ClusterId::new("convex-prod").unwrap(),
            name: ServiceName::new(name).unwrap(),
            node: NodeId::new(node).unwrap(),
            address: "10.0.1.10".parse().unwrap(),
            port: 3210,
            protocol: Protocol::Http,
            path: None,
            health_path: None,
            metadata: BTreeMap::new(),
            tags: Vec::new(),
            health: Health::Passing,
            registered_at: String::from("2026-01-02T03:04:05Z"),
            updated_at: String::from("2026-01-02T03:04:05Z"),
        }
    }

    #[test]
    fn a_record_is_written_with_all_its_fields_and_read_back() {
        let mut record = record("http", "db1.example.com");
        record.metadata.insert(String::from("version"), String::from("1.0.0"));
        record.tags.push(String::from("api"));
        let value = serde_json::to_value(&record).unwrap();
        let expected = json!({
            "app": "convex-prod", "name": "http", "node": "db1.example.com",
            "address": "10.0.1.10", "port": 3210, "protocol": "http", "path": null,
            "healthPath": null, "metadata": { "version": "1.0.0" }, "tags": ["api"],
            "health": "passing", "registeredAt": "2026-01-02T03:04:05Z",
            "updatedAt": "2026-01-02T03:04:05Z",
        });
        assert_eq!(value, expected);
        assert_eq!(record.key(), "http.db1=2Eexample=2Ecom");
        let mut later = value;
        later["mood"] = json!("good");
        let read = ServiceRecord::read(&record.key(), later.to_string().as_bytes()).unwrap();
        assert_eq!(read, record);
    }

    #[test]
    fn what_is_no_record_of_its_key_is_garbage() {
        let value = |edit: fn(&mut serde_json::Value)| {
            let mut value = serde_json::to_value(record("http", "n")).unwrap();
            edit(&mut value);
            value.to_string().into_bytes()
        };
        let table: [(Vec<u8>, &str); 8] = [
            (b"hello".to_vec(), "no service record"),
            (b"{}".to_vec(), "missing field"),
            (vec![0xff, 0xfe], "no service record"),
            (value(|v| v["port"] = json!(0)), "port is 0"),
            (value(|v| v["port"] = json!(70_000)), "no service record"),
            (value(|v| v["address"] = json!("somewhere")), "no service record"),
            (value(|v| v["health"] = json!("\u{1b}[2J")), "no service record"),
            (value(|v| v["node"] = json!("m")), "record of http.m"),
        ];
        for (value, words) in table {
            let error = ServiceRecord::read("http.n", &value).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}

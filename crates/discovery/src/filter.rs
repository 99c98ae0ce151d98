//! Which records are meant. Pure.

use std::collections::BTreeMap;

use ccm_types::{NodeId, ServiceName};

use crate::{Health, ServiceRecord};

/// What a record must have; one that asks for nothing is met by every record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The service.
    pub name: Option<ServiceName>,
    /// The node.
    pub node: Option<NodeId>,
    /// Tags, all of them.
    pub tags: Vec<String>,
    /// Metadata, all of it.
    pub metadata: BTreeMap<String, String>,
    /// The health.
    pub health: Option<Health>,
}

impl Filter {
    /// Whether the record has all that is asked for.
    #[must_use]
    pub fn meets(&self, record: &ServiceRecord) -> bool {
        self.name.as_ref().is_none_or(|name| *name == record.name)
            && self.node.as_ref().is_none_or(|node| *node == record.node)
            && self.health.is_none_or(|health| health == record.health)
            && self.tags.iter().all(|tag| record.tags.contains(tag))
            && self.metadata.iter().all(|(key, value)| record.metadata.get(key) == Some(value))
    }

    /// The records that have it, in their order.
    #[must_use]
    pub fn select(&self, records: Vec<ServiceRecord>) -> Vec<ServiceRecord> {
        records.into_iter().filter(|record| self.meets(record)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn everything_that_is_asked_for_must_be_there() {
        let mut one = record("http", "node-1");
        one.tags = vec![String::from("api"), String::from("public")];
        one.metadata.insert(String::from("version"), String::from("1.0.0"));
        one.health = Health::Standby;
        let tags = |tags: &[&str]| tags.iter().map(|&tag| String::from(tag)).collect();
        let version = |v: &str| BTreeMap::from([(String::from("version"), String::from(v))]);
        let table = [
            (Filter::default(), true),
            (Filter { name: Some(ServiceName::new("http").unwrap()), ..Filter::default() }, true),
            (Filter { name: Some(ServiceName::new("HTTP").unwrap()), ..Filter::default() }, false),
            (Filter { node: Some(NodeId::new("node-1").unwrap()), ..Filter::default() }, true),
            (Filter { node: Some(NodeId::new("node").unwrap()), ..Filter::default() }, false),
            (Filter { tags: tags(&["public", "api"]), ..Filter::default() }, true),
            (Filter { tags: tags(&["api", "private"]), ..Filter::default() }, false),
            (Filter { metadata: version("1.0.0"), ..Filter::default() }, true),
            (Filter { metadata: version("1"), ..Filter::default() }, false),
            (Filter { health: Some(Health::Standby), ..Filter::default() }, true),
            (Filter { health: Some(Health::Passing), ..Filter::default() }, false),
        ];
        for (filter, expected) in table {
            assert_eq!(filter.meets(&one), expected, "{filter:?}");
            assert_eq!(filter.select(vec![one.clone()]).len(), usize::from(expected));
        }
    }
}

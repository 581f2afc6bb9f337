//! Answers to the questions of core: tables, names, the host's own lookup, free space.

use crate::env::Environment;
use crate::resolve::Resolver;
use crate::tables::Tables;
use postrider_core::ask::{Answer, Question};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// What questions are answered from; one for each snapshot of the configuration, the resolver shared by all.
pub struct Answers<E: Environment> {
    /// The world.
    pub env: Arc<E>,
    /// Lookup tables.
    pub tables: Tables<E>,
    /// Names.
    pub resolver: Resolver,
}

impl<E: Environment> Answers<E> {
    /// Answers a question.
    pub async fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Lookup { table, key } => Answer::Lookup(self.tables.lookup(table, key)),
            Question::Resolve { name, kind } => Answer::Resolve(self.resolver.ask(name, *kind).await),
            Question::NativeHost { name } => Answer::NativeHost(self.native(name)),
            Question::FreeSpace => Answer::FreeSpace(self.env.disk().free_space()),
        }
    }

    /// The host's own lookup is `/etc/hosts`; names that are not there go to DNS all the same.
    fn native(&self, name: &str) -> Vec<IpAddr> {
        let text = self.env.files().read(Path::new("/etc/hosts")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        lines
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let address: IpAddr = words.next()?.parse().ok()?;
                words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
            })
            .collect()
    }
}

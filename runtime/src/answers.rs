//! Answers to the questions of core: tables, names, the hosts file, free space.

use crate::env::Environment;
use crate::hosts_file::HostsFile;
use crate::resolve::Resolver;
use crate::tables::Tables;
use postrider_core::ask::{Answer, Question};
use std::sync::Arc;

/// What questions are answered from; one for each snapshot of the configuration, the resolver shared by all.
pub struct Answers<E: Environment> {
    /// The world.
    pub env: Arc<E>,
    /// Lookup tables.
    pub tables: Tables<E>,
    /// Names.
    pub resolver: Resolver,
    /// Names that need no server.
    pub hosts: HostsFile,
}

impl<E: Environment> Answers<E> {
    /// Answers a question.
    pub async fn answer(&self, question: &Question) -> Answer {
        let hosts = || self.hosts.read(&*self.env);
        match question {
            Question::Lookup { table, key } => Answer::Lookup(self.tables.lookup(table, key)),
            Question::Resolve { name, kind } => Answer::Resolve(self.resolver.ask(name, *kind).await),
            Question::ListedHost { name } => Answer::ListedHost(hosts().map(|hosts| hosts.addresses(name))),
            Question::ListedName { address } => Answer::ListedName(hosts().map(|hosts| hosts.name(*address))),
            Question::FreeSpace => Answer::FreeSpace(self.env.disk().free_space()),
        }
    }
}

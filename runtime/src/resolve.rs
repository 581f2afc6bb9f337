//! The task that owns the resolver: datagrams and connections for its queries.

use crate::env::{Environment, Net};
use crate::observe;
use crate::timer::sleep;
use crate::trouble::is_short;
use postrider_core::ask::{DnsAnswer, DnsFailure, RecordKind};
use postrider_core::dns::{Entropy, Input, Output, Params, QUERIES_PER_QUESTION_MAX, QueryId, Ticket};
use postrider_core::machine::Machine;
use postrider_core::outbound::Endpoint;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Octets of the largest datagram that IP can carry.
const DATAGRAM_MAX: usize = 65_535;

enum Fact {
    Ask { name: String, kind: RecordKind, reply: oneshot::Sender<DnsAnswer> },
    Datagram { query: QueryId, from: SocketAddr, octets: Vec<u8> },
    Stream { query: QueryId, octets: Vec<u8> },
    Lost { query: QueryId },
    Short { query: QueryId },
    Reload(Params),
}

/// A handle to the resolver. Each asker has one question open, and those are bounded.
#[derive(Debug, Clone)]
pub struct Resolver {
    facts: mpsc::UnboundedSender<Fact>,
}

impl Resolver {
    /// Starts the task.
    pub fn start<E: Environment>(env: &Arc<E>, params: Params) -> Self {
        let (facts, incoming) = mpsc::unbounded_channel();
        let desk = Desk {
            env: Arc::clone(env),
            machine: postrider_core::dns::Resolver::new(params),
            facts: facts.downgrade(),
            waiting: BTreeMap::new(),
            queries: BTreeMap::new(),
            last: 0,
        };
        tokio::spawn(desk.run(incoming));
        Self { facts }
    }

    /// Asks for records, through the cache.
    pub async fn ask(&self, name: &str, kind: RecordKind) -> DnsAnswer {
        let (reply, answer) = oneshot::channel();
        _ = self.facts.send(Fact::Ask { name: name.to_owned(), kind, reply });
        answer.await.unwrap_or(Err(DnsFailure::TryAgain))
    }

    /// Waits until the task has ended.
    pub async fn closed(&self) {
        self.facts.closed().await;
    }

    /// Other servers from now on.
    pub fn reload(&self, params: Params) {
        _ = self.facts.send(Fact::Reload(params));
    }
}

struct Desk<E> {
    env: Arc<E>,
    machine: postrider_core::dns::Resolver,
    facts: mpsc::WeakUnboundedSender<Fact>,
    waiting: BTreeMap<Ticket, oneshot::Sender<DnsAnswer>>,
    queries: BTreeMap<QueryId, JoinHandle<()>>,
    last: u64,
}

impl<E: Environment> Desk<E> {
    async fn run(mut self, mut incoming: mpsc::UnboundedReceiver<Fact>) {
        loop {
            let timeout = self.machine.next_timeout().map(|at| at.since(self.env.now().mono));
            tokio::select! {
                biased;
                fact = incoming.recv() => match fact {
                    Some(fact) => self.take(fact),
                    None => return,
                },
                () = sleep(timeout) => self.machine.handle_timeout(self.env.now()),
            }
            while let Some(output) = self.machine.poll_output() {
                self.carry_out(output);
            }
        }
    }

    fn take(&mut self, fact: Fact) {
        let now = self.env.now();
        match fact {
            Fact::Ask { name, kind, reply } => {
                self.last += 1;
                let ticket = Ticket(self.last);
                self.waiting.insert(ticket, reply);
                let entropy = self.entropy();
                self.machine.handle_input(now, Input::Ask { ticket, name: &name, kind, entropy });
            }
            Fact::Datagram { query, from, octets } => {
                self.machine.handle_input(now, Input::Datagram { query, from, octets: &octets });
            }
            Fact::Stream { query, octets } => {
                self.machine.handle_input(now, Input::TcpAnswer { query, octets: &octets });
            }
            Fact::Lost { query } => self.machine.handle_input(now, Input::Lost { query }),
            Fact::Short { query } => self.machine.handle_input(now, Input::Short { query }),
            Fact::Reload(params) => self.machine.handle_input(now, Input::Reload(params)),
        }
    }

    fn entropy(&self) -> Entropy {
        let mut octets = [0; 2 * QUERIES_PER_QUESTION_MAX];
        for chunk in octets.chunks_mut(8) {
            let random = self.env.entropy().to_ne_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
        Entropy(octets)
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::SendUdp { query, server, octets } => {
                let Some(facts) = self.facts.upgrade() else { return };
                let task = tokio::spawn(ask_by_datagram(Arc::clone(&self.env), facts, query, server, octets));
                self.begin(query, task);
            }
            Output::SendTcp { query, server, octets } => {
                let Some(facts) = self.facts.upgrade() else { return };
                let task = tokio::spawn(ask_by_stream(Arc::clone(&self.env), facts, query, server, octets));
                self.begin(query, task);
            }
            Output::CloseQuery(query) => {
                if let Some(task) = self.queries.remove(&query) {
                    task.abort();
                }
            }
            Output::Answer { ticket, answer } => {
                if let Some(reply) = self.waiting.remove(&ticket) {
                    _ = reply.send(answer);
                }
            }
            Output::Event(event) => observe::log(event),
        }
    }

    fn begin(&mut self, query: QueryId, task: JoinHandle<()>) {
        if let Some(before) = self.queries.insert(query, task) {
            before.abort();
        }
    }
}

/// A query that came to nothing: because of its server, or because of us.
fn unheard(query: QueryId, error: &std::io::Error) -> Fact {
    if is_short(error) { Fact::Short { query } } else { Fact::Lost { query } }
}

async fn ask_by_datagram<E: Environment>(
    env: Arc<E>,
    facts: mpsc::UnboundedSender<Fact>,
    query: QueryId,
    server: SocketAddr,
    octets: Vec<u8>,
) {
    let net = env.net();
    let talk = async {
        let socket = net.datagram(server).await?;
        net.send(&socket, &octets).await?;
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            let count = net.receive(&socket, &mut buffer).await?;
            let fact = Fact::Datagram { query, from: server, octets: buffer[..count].to_vec() };
            // The resolver says when it has heard enough, and ends this task.
            if facts.send(fact).is_err() {
                return Ok::<(), std::io::Error>(());
            }
        }
    };
    if let Err(error) = talk.await {
        _ = facts.send(unheard(query, &error));
    }
}

async fn ask_by_stream<E: Environment>(
    env: Arc<E>,
    facts: mpsc::UnboundedSender<Fact>,
    query: QueryId,
    server: SocketAddr,
    octets: Vec<u8>,
) {
    let talk = async {
        let endpoint = Endpoint::Inet { address: server.ip(), port: server.port(), bind: None };
        let mut stream = env.net().connect(&endpoint).await?;
        let length = u16::try_from(octets.len()).map_err(std::io::Error::other)?;
        let mut message = length.to_be_bytes().to_vec();
        message.extend_from_slice(&octets);
        stream.write_all(&message).await?;
        stream.flush().await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok::<Vec<u8>, std::io::Error>(answer)
    };
    let fact = match talk.await {
        Ok(octets) => Fact::Stream { query, octets },
        Err(error) => unheard(query, &error),
    };
    _ = facts.send(fact);
}

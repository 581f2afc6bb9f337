//! Drives one outbound joint over its connection, attempt after attempt.
//!
//! The task lives as long as the connection: between attempts it is parked, and the pool holds only the end of a channel, and what core
//! says that the connection is for. Executes effects, decides nothing.

use crate::content::Reader;
use crate::env::{Environment, Net, NotBound};
use crate::guard::Charge;
use crate::inbound::Shared;
use crate::notice;
use crate::observe;
use crate::site::Site;
use crate::stream::Stream;
use crate::sync::{Arc, Mutex, PoisonError};
use crate::timer::{self, in_time, sleep, sleep_by};
use crate::tls;
use crate::trouble;
use postrider_core::limits::CHUNK_MAX;
use postrider_core::machine::Machine;
use postrider_core::mail::{Attempt, AttemptId, Change, Notice, Outcome, QueueId, Settled, Settlement};
use postrider_core::outbound::{Config, Effect, Endpoint, Input, Kept, Loss, Outbound, Purpose, TlsDemand};
use postrider_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;

/// Octets read at once from a server: replies are short.
const READ_SIZE: usize = 4 * 1024;

/// The way of each recipient that another transport delivers to.
type Handover = Pin<Box<dyn Future<Output = Vec<(u32, Outcome)>> + Send>>;

/// Connections that wait for another attempt: core chooses among them.
#[derive(Debug, Default)]
pub struct Pool {
    kept: Mutex<Kept<oneshot::Sender<Assignment>>>,
}

/// An attempt, and the guard that tells its end.
pub type Assignment = (Box<Attempt>, Charge);

impl Pool {
    /// Gives an attempt to the parked connection that serves it, if there is one. Those that serve nobody any more are sent away.
    ///
    /// # Errors
    /// There is none: the attempt comes back.
    pub fn reuse(
        &self,
        now: Instant,
        mut assignment: Assignment,
        config: &Arc<Config>,
    ) -> Result<(), Assignment> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the end of a channel is dropped, its connection hears that nobody wants it.
        while let Some(connection) = kept.choose(now, &assignment.0, config).chosen {
            match connection.send(assignment) {
                Ok(()) => return Ok(()),
                Err(back) => assignment = back,
            }
        }
        Err(assignment)
    }

    pub(crate) fn park(&self, purpose: Purpose) -> (u64, oneshot::Receiver<Assignment>) {
        let (attempts, incoming) = oneshot::channel();
        let name = self.kept.lock().unwrap_or_else(PoisonError::into_inner).keep(purpose, attempts);
        (name, incoming)
    }

    /// Takes a connection back; false when an attempt is on its way to it, or it was sent away.
    pub(crate) fn leave(&self, name: u64) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).leave(name).is_some()
    }
}

/// Attempts whose outcomes are being written.
#[derive(Debug, Default)]
pub struct Unwritten {
    waiting: Mutex<BTreeMap<AttemptId, oneshot::Sender<()>>>,
}

impl Unwritten {
    pub(crate) fn wait(&self, id: AttemptId) -> oneshot::Receiver<()> {
        let (done, wait) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, done);
        wait
    }

    /// The outcomes of this attempt are written.
    pub fn written(&self, id: AttemptId) {
        let done = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(done) = done {
            _ = done.send(());
        }
    }
}

/// What the tasks of all connections share.
pub struct Links<E> {
    /// World, spool.
    pub shared: Arc<Shared<E>>,
    /// Parked connections.
    pub pool: Pool,
    /// Attempts whose outcomes are being written.
    pub unwritten: Unwritten,
    /// To the manager.
    pub settled: mpsc::UnboundedSender<postrider_core::manager::Input>,
}

/// One connection.
pub struct Connection<E: Environment> {
    /// Shared by all.
    pub links: Arc<Links<E>>,
    /// The configuration that it began with: answers questions.
    pub site: Arc<Site<E>>,
    /// TLS as a client.
    pub tls: Arc<tls::Client>,
    /// The machine.
    pub machine: Outbound,
    stream: Option<Stream<<E::Net as Net>::Stream>>,
    timer: Pin<Box<Sleep>>,
    message: QueueId,
    charge: Option<Charge>,
    content: Option<Reader>,
    notices: Vec<Notice>,
}

/// What ends a drain.
enum Next {
    Wait,
    Ask(postrider_core::ask::Question),
    Connect(Endpoint, Duration),
    StartTls(TlsDemand),
    Read(bool),
    Progress(Box<Settled>),
    HandOver(Box<Attempt>),
    Settle(Box<Settled>),
    Park(Box<Purpose>),
    Close,
}

/// How a connection's rest ends.
enum EndOfRest {
    /// It has another attempt.
    Wanted(Assignment),
    /// The pool has no use for it any more.
    SentAway,
    /// Its time is over, or the server ended it.
    Over,
}

impl<E: Environment> Connection<E> {
    /// A task for an attempt.
    #[must_use]
    pub fn new(links: Arc<Links<E>>, site: Arc<Site<E>>, tls: Arc<tls::Client>, machine: Outbound) -> Self {
        Self {
            links,
            site,
            tls,
            machine,
            stream: None,
            timer: Box::pin(timer::timer()),
            message: QueueId::default(),
            charge: None,
            content: None,
            notices: Vec::new(),
        }
    }

    fn tell(&mut self, input: Input<'_>) {
        self.machine.handle_input(self.links.shared.env.now(), input);
    }

    /// Runs until the connection is closed and no attempt waits.
    pub async fn run(mut self, assignment: Assignment) {
        self.begin(assignment);
        let mut buffer = vec![0; READ_SIZE];
        loop {
            let mut out = Vec::new();
            let mut next = Next::Wait;
            while let Some(effect) = self.machine.poll_output() {
                self.effect(effect, &mut out, &mut next);
            }
            if !out.is_empty() {
                match self.write(&out, &mut buffer).await {
                    Ok(()) if matches!(next, Next::Wait) => {
                        self.tell(Input::Drained);
                        continue;
                    }
                    Ok(()) => {}
                    // A server that went away may have said why: what it said is read first.
                    Err(_) if matches!(next, Next::Wait | Next::Read(_)) => next = Next::Wait,
                    Err(_) => {}
                }
            }
            for notice in std::mem::take(&mut self.notices) {
                notice::send(&self.links.shared, &self.site, &notice).await;
            }
            match next {
                Next::Close if self.machine.is_idle() => return self.close().await,
                Next::Close => self.stream = None,
                Next::Park(purpose) => self.park(*purpose, &mut buffer).await,
                other => self.act(other, &mut buffer).await,
            }
        }
    }

    fn begin(&mut self, (attempt, charge): Assignment) {
        self.charge = Some(charge);
        self.message = attempt.message;
        self.content = Some(Reader::new(attempt.message, Arc::clone(&attempt.pieces)));
        self.tell(Input::Attempt(attempt));
    }

    fn effect(&mut self, effect: Effect, out: &mut Vec<u8>, next: &mut Next) {
        match effect {
            Effect::Send(octets) if out.is_empty() => *out = octets,
            Effect::Send(octets) => out.extend_from_slice(&octets),
            Effect::Event(event) => observe::log(event),
            Effect::Ask(question) => *next = Next::Ask(question),
            Effect::Connect { endpoint, timeout } => *next = Next::Connect(endpoint, timeout),
            Effect::StartTls(demand) => *next = Next::StartTls(demand),
            Effect::Read { restart, .. } => *next = Next::Read(restart),
            Effect::HandOver(attempt) => *next = Next::HandOver(attempt),
            Effect::Progress(settled) => *next = Next::Progress(settled),
            Effect::Settle(settled) => *next = Next::Settle(settled),
            Effect::Park(purpose) => *next = Next::Park(purpose),
            Effect::Close => *next = Next::Close,
            Effect::Notice(notice) => self.notices.push(*notice),
        }
    }

    async fn act(&mut self, next: Next, buffer: &mut [u8]) {
        match next {
            Next::Ask(question) => {
                let answer = self.site.answers.answer(&question).await;
                self.tell(Input::Answer(answer));
            }
            Next::Connect(endpoint, timeout) => self.connect(&endpoint, timeout).await,
            Next::StartTls(demand) => self.secure(&demand).await,
            Next::Read(restart) => self.read_content(restart).await,
            Next::HandOver(attempt) => {
                let outcomes = self.hand_over(*attempt).await;
                self.tell(Input::HandedOver(outcomes));
            }
            Next::Progress(settled) => self.progress(*settled).await,
            Next::Settle(settled) => {
                let written = self.links.unwritten.wait(settled.id);
                if let Some(charge) = self.charge.take() {
                    charge.settle(*settled);
                }
                _ = written.await;
                self.tell(Input::Written);
            }
            Next::Wait | Next::Park(_) | Next::Close => self.wait(buffer).await,
        }
    }

    /// Another transport delivers, each recipient for itself. The type ends the circle of futures: it may connect in its turn.
    fn hand_over(&self, attempt: Attempt) -> Handover {
        let (shared, site) = (Arc::clone(&self.links.shared), Arc::clone(&self.site));
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(attempt.recipients.len());
            for recipient in &attempt.recipients {
                let one = Attempt { recipients: vec![recipient.clone()], ..attempt.clone() };
                let outcome = crate::manager::deliver_aside(&shared, &site, one).await;
                outcomes.push((recipient.index, outcome));
            }
            outcomes
        })
    }

    /// Recipients that are done while others go on to the next host: a crash must not deliver to them again.
    async fn progress(&mut self, settled: Settled) {
        let outcomes: Vec<_> =
            settled.outcomes.into_iter().filter(|(_, outcome)| outcome.is_final()).collect();
        if let Some(charge) = &mut self.charge {
            charge.extend(outcomes.iter().cloned());
        }
        let settlement =
            Settlement { id: self.message, at: self.links.shared.env.now().wall, outcomes, retry_at: None };
        if !settlement.outcomes.is_empty() {
            // A spool that refuses costs at most a second copy after a crash; the manager writes them again at the end.
            _ = self.links.shared.spool.append(vec![Change::Settle(settlement)], Vec::new()).await;
        }
        self.tell(Input::Written);
    }

    async fn connect(&mut self, endpoint: &Endpoint, timeout: Duration) {
        self.stream = None;
        let limit = (!timeout.is_zero()).then_some(timeout);
        let shared = Arc::clone(&self.links.shared);
        let result = tokio::select! {
            biased;
            result = shared.env.net().connect(endpoint) => result,
            () = sleep(limit) => Err(io::ErrorKind::TimedOut.into()),
        };
        match result {
            Ok(stream) => {
                self.stream = Some(Stream::Plain(stream));
                self.tell(Input::Connected);
            }
            Err(error) => self.tell(Input::Lost(loss(&error))),
        }
    }

    async fn secure(&mut self, demand: &TlsDemand) {
        let timeout = self.machine.next_timeout().map(|at| at.since(self.links.shared.env.now().mono));
        let Some(stream) = &mut self.stream else { return self.tell(Input::Lost(Loss::Closed)) };
        let result = tokio::select! {
            biased;
            result = stream.secure_as_client(&self.tls, demand) => result,
            () = sleep(timeout) => Err("the handshake took too long".to_owned()),
        };
        match result {
            Ok(facts) => self.tell(Input::Secured(facts)),
            Err(why) => self.tell(Input::TlsFailed(why)),
        }
    }

    async fn read_content(&mut self, restart: bool) {
        let Some(mut reader) = self.content.take() else {
            return self.tell(Input::ContentLost("no message is being sent".to_owned()));
        };
        if restart {
            reader.restart();
        }
        match reader.next(&self.links.shared.spool, CHUNK_MAX).await {
            Ok(octets) => self.tell(Input::Content(&octets)),
            Err(why) => self.tell(Input::ContentLost(why)),
        }
        self.content = Some(reader);
    }

    /// Writes, within the machine's own time-out, while the server may not even read.
    async fn write(&mut self, out: &[u8], _: &mut [u8]) -> io::Result<()> {
        let timeout = self.machine.next_timeout().map(|at| at.since(self.links.shared.env.now().mono));
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        let write = async {
            stream.write_all(out).await?;
            stream.flush().await
        };
        tokio::select! {
            biased;
            result = write => result,
            () = sleep_by(self.timer.as_mut(), timeout) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn wait(&mut self, buffer: &mut [u8]) {
        let now = self.links.shared.env.now();
        let timeout = self.machine.next_timeout().map(|at| at.since(now.mono));
        let Some(stream) = &mut self.stream else {
            sleep_by(self.timer.as_mut(), timeout).await;
            return self.machine.handle_timeout(self.links.shared.env.now());
        };
        tokio::select! {
            biased;
            read = stream.read(buffer) => match read {
                Ok(0) => self.tell(Input::Lost(Loss::Closed)),
                Ok(count) => self.tell(Input::Bytes(&buffer[..count])),
                Err(error) => self.tell(Input::Lost(loss(&error))),
            },
            () = sleep_by(self.timer.as_mut(), timeout) => self.machine.handle_timeout(self.links.shared.env.now()),
        }
    }

    /// Waits for another attempt, or until there will be none.
    async fn park(&mut self, purpose: Purpose, buffer: &mut [u8]) {
        self.content = None;
        let (name, mut incoming) = self.links.pool.park(purpose);
        let timeout = self.machine.next_timeout().map(|at| at.since(self.links.shared.env.now().mono));
        let end = match &mut self.stream {
            None => EndOfRest::Over,
            Some(stream) => tokio::select! {
                biased;
                assignment = &mut incoming => assignment.map_or(EndOfRest::SentAway, EndOfRest::Wanted),
                // Whatever a server says to an idle client (421, or the end of the connection), it is over.
                _ = stream.read(buffer) => EndOfRest::Over,
                () = sleep_by(self.timer.as_mut(), timeout) => EndOfRest::Over,
            },
        };
        let assignment = match end {
            EndOfRest::Wanted(assignment) => Some(assignment),
            EndOfRest::SentAway => None,
            EndOfRest::Over if self.links.pool.leave(name) => None,
            // It was on its way at the very moment, or is sent away.
            EndOfRest::Over => incoming.await.ok(),
        };
        match assignment {
            Some(assignment) => self.begin(assignment),
            None => self.tell(Input::Retire),
        }
    }

    async fn close(mut self) {
        if let Some(mut stream) = self.stream.take() {
            _ = in_time(Duration::from_secs(5), stream.end()).await;
        }
    }
}

fn loss(error: &io::Error) -> Loss {
    if let Some(NotBound(error)) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return if trouble::is_short(error) {
            Loss::Short(trouble::told(error))
        } else {
            Loss::NotBound(trouble::words(error))
        };
    }
    if trouble::is_short(error) {
        return Loss::Short(trouble::told(error));
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Loss::Refused,
        io::ErrorKind::TimedOut => Loss::TimedOut,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            Loss::Closed
        }
        _ => Loss::Failed(trouble::words(error)),
    }
}

/// An attempt that says nothing but where to, for tests.
#[cfg(all(test, feature = "shuttle"))]
pub(crate) fn empty_attempt(transport: &str, nexthop: &str) -> Attempt {
    Attempt {
        id: AttemptId(1),
        message: QueueId::default(),
        transport: transport.to_owned(),
        nexthop: nexthop.to_owned(),
        sender: postrider_core::mail::Sender::Null,
        recipients: Vec::new(),
        size: 0,
        pieces: std::sync::Arc::default(),
        body: Default::default(),
        smtputf8: false,
        envid: None,
        ret: None,
        arrived: Default::default(),
        keep_connection: false,
    }
}

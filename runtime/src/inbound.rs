//! Drives one inbound joint over a connection. Executes effects, decides nothing.

use crate::env::Environment;
use crate::notice;
use crate::observe;
use crate::record::{Recorder, SessionTape};
use crate::site::Site;
use crate::spool::Spool;
use crate::staging::{Budget, Stage};
use crate::stream::Stream;
use crate::sync::{Mutex, PoisonError};
use crate::timer::{self, in_time, sleep, sleep_by};
use postrider_core::ask::Answer;
use postrider_core::event::Event;
use postrider_core::inbound::{Effect, Inbound, Input};
use postrider_core::machine::Machine;
use postrider_core::mail::{Change, Message, Notice, QueueId, QueueIds, Refusal};
use postrider_core::report::Allowance;
use postrider_core::time::Timestamp;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;

/// Octets that a session reads at once; a busy one grows to `limits::CHUNK_MAX`.
const READ_MIN: usize = 2 * 1024;
/// While content is awaited: most mail fits, and is read at once.
const READ_CONTENT: usize = 8 * 1024;
const READ_MAX: usize = postrider_core::limits::CHUNK_MAX;

thread_local! {
    /// What the sessions of this thread read into. With one each, clients that stop within their content would have us hold 64 KB for each of
    /// them, whatever `content_memory_limit` is.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads at most so many octets: the thread's buffer, which it wants back, and how many have come; none at the end of the connection.
async fn read(stream: &mut (impl AsyncRead + Unpin), most: usize) -> (Vec<u8>, usize) {
    poll_fn(|context| {
        let mut buffer = BUFFER.take();
        buffer.resize(READ_MAX, 0);
        let mut into = ReadBuf::new(&mut buffer[..most]);
        let read = Pin::new(&mut *stream).poll_read(context, &mut into);
        let count = into.filled().len();
        match read {
            Poll::Ready(Ok(())) => Poll::Ready((buffer, count)),
            Poll::Ready(Err(_)) => Poll::Ready((buffer, 0)),
            Poll::Pending => {
                BUFFER.set(buffer);
                Poll::Pending
            }
        }
    })
    .await
}

/// Queue ids for all tasks: none is issued twice.
#[derive(Debug)]
pub struct Ids(Mutex<QueueIds>);

impl Ids {
    /// Those of a node; they go on after `last`.
    #[must_use]
    pub fn new(node: u16, last: QueueId) -> Self {
        Self(Mutex::new(QueueIds::new(node, last)))
    }

    /// The next one.
    pub fn issue(&self, wall: Timestamp) -> QueueId {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).issue(wall)
    }
}

/// What the tasks of all sessions share.
pub struct Shared<E> {
    /// The world.
    pub env: Arc<E>,
    /// The spool.
    pub spool: Spool,
    /// Queue ids.
    pub ids: Ids,
    /// Memory for contents.
    pub budget: Arc<Budget>,
    /// Notices to the postmaster that may still be sent.
    pub notices: Mutex<Allowance>,
    /// The recording of the moment.
    pub recorder: Recorder,
}

impl<E: Environment> Shared<E> {
    /// A fresh queue id.
    pub fn identify(&self) -> QueueId {
        self.ids.issue(self.env.now().wall)
    }
}

/// One session.
pub struct Session<E: Environment, S> {
    /// Shared by all.
    pub shared: Arc<Shared<E>>,
    /// The configuration that the session began with.
    pub site: Arc<Site<E>>,
    /// Certificate and key; `None` where TLS is off.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What the log calls the server of this service.
    pub program: Arc<str>,
    /// The connection.
    pub stream: Stream<S>,
    /// The machine.
    pub machine: Inbound,
    /// Becomes true when the daemon drains.
    pub draining: watch::Receiver<bool>,
    /// Not sent yet.
    pub notices: Vec<Notice>,
    /// Its recording.
    pub tape: Option<SessionTape>,
}

/// What ends a drain.
enum Next {
    Wait,
    StartTls,
    Close,
    Ask(postrider_core::ask::Question),
    Identify,
    Commit(Box<Message>),
}

/// A question that waits for its answer.
struct Asking {
    answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
    /// The client says no more. The session hears of that when it waits for the client: what was said before counts.
    ended: bool,
}

/// What ends a wait for the client.
enum Came {
    Drain,
    /// So many octets of a buffer; none: the connection is over.
    Read(Vec<u8>, usize),
    Time,
}

impl<E: Environment, S> Session<E, S>
where
    S: AsyncRead + tokio::io::AsyncWrite + Unpin + Send,
{
    /// Runs to the end of the connection.
    pub async fn run(&mut self) {
        // Both are for all waits of the session: to begin and end to wait takes locks that all sessions share.
        let mut drain = pin!(drain(self.draining.clone()));
        let mut timer = pin!(timer::timer());
        let mut staged = Stage::new();
        let mut most = READ_MIN;
        let mut asking: Option<Asking> = None;
        let mut out = Vec::new();
        loop {
            let next = self.drain(&mut out, &mut staged).await;
            // An id is there at once: what is said before and behind it goes in one write.
            let waits = !matches!(next, Next::Identify);
            if waits && !out.is_empty() && !self.write(&std::mem::take(&mut out)).await {
                staged.abandon(&self.shared).await;
                self.tell(Some(Input::Closed));
                return self.finish().await;
            }
            // At the end the client shall not wait for what is said of it.
            if !matches!(next, Next::Close) {
                self.send_notices().await;
            }
            match next {
                Next::Wait if !staged.hold(&self.shared, self.machine.held()) => {
                    self.tell(Some(Input::Crowded));
                }
                Next::Wait => match &mut asking {
                    None => self.wait(&mut most, drain.as_mut(), timer.as_mut()).await,
                    Some(question) => {
                        if let Some(answer) = self.hear(question, most).await {
                            asking = None;
                            self.tell(Some(Input::Answer(answer)));
                        }
                    }
                },
                Next::Close => {
                    _ = in_time(self.machine.write_timeout(), self.stream.end()).await;
                    staged.abandon(&self.shared).await;
                    return self.finish().await;
                }
                Next::StartTls => self.secure().await,
                Next::Ask(question) => {
                    let site = Arc::clone(&self.site);
                    let answer = Box::pin(async move { site.answers.answer(&question).await });
                    asking = Some(Asking { answer, ended: false });
                }
                Next::Identify => {
                    let id = self.shared.identify();
                    staged.name(id);
                    self.tell(Some(Input::Identified(id)));
                }
                Next::Commit(message) => {
                    // A header that came with the end of its content was not counted yet, and stays until the disk has answered.
                    let result = if staged.holds(&self.shared, self.machine.held()) {
                        commit(&self.shared, &mut staged, message, Vec::new()).await
                    } else {
                        staged.abandon(&self.shared).await;
                        Err(Refusal::Full)
                    };
                    self.tell(Some(Input::Committed(result)));
                }
            }
        }
    }

    /// A fact for the machine; nothing: that time has passed.
    fn tell(&mut self, input: Option<Input<'_>>) {
        let now = self.shared.env.now();
        if let Some(tape) = &mut self.tape {
            tape.begin(now, input.as_ref());
        }
        match input {
            Some(input) => self.machine.handle_input(now, input),
            None => self.machine.handle_timeout(now),
        }
    }

    /// The next output of the stimulus.
    fn poll(&mut self) -> Option<Effect> {
        let effect = self.machine.poll_output();
        if let Some(tape) = &mut self.tape {
            match &effect {
                Some(effect) => tape.effect(effect),
                None => tape.end(&self.machine),
            }
        }
        effect
    }

    /// What cleanup says of the message stays cleanup's.
    fn log(&self, event: Event) {
        let program = (event.program() == "smtpd").then(|| Arc::clone(&self.program));
        observe::log_of(program, event);
    }

    /// Takes all outputs of one stimulus.
    async fn drain(&mut self, out: &mut Vec<u8>, staged: &mut Stage) -> Next {
        let mut next = Next::Wait;
        while let Some(effect) = self.poll() {
            match effect {
                Effect::Send(octets) if out.is_empty() => *out = octets,
                Effect::Send(octets) => out.extend_from_slice(&octets),
                Effect::Event(event) => self.log(event),
                Effect::Stage(octets) => staged.put(&self.shared, octets).await,
                Effect::Unstage => staged.abandon(&self.shared).await,
                Effect::StartTls => next = Next::StartTls,
                Effect::Close => next = Next::Close,
                Effect::Ask(question) => next = Next::Ask(question),
                Effect::Identify => next = Next::Identify,
                Effect::Commit(message) => next = Next::Commit(message),
                Effect::Notice(notice) => self.notices.push(*notice),
            }
        }
        next
    }

    /// After the end nobody listens, but the log does, and the postmaster.
    async fn finish(&mut self) {
        while let Some(effect) = self.poll() {
            match effect {
                Effect::Event(event) => self.log(event),
                Effect::Notice(notice) => self.notices.push(*notice),
                _ => {}
            }
        }
        if let Some(tape) = &mut self.tape {
            tape.close(&self.machine);
        }
        self.send_notices().await;
    }

    async fn send_notices(&mut self) {
        for notice in std::mem::take(&mut self.notices) {
            notice::send(&self.shared, &self.site, &notice).await;
        }
    }

    async fn write(&mut self, out: &[u8]) -> bool {
        let patience = self.machine.write_timeout();
        let write = async {
            self.stream.write_all(out).await?;
            self.stream.flush().await
        };
        matches!(in_time(patience, write).await, Some(Ok(())))
    }

    async fn wait(
        &mut self,
        most: &mut usize,
        drain: Pin<&mut impl Future<Output = ()>>,
        timer: Pin<&mut Sleep>,
    ) {
        let timeout = self.machine.next_timeout().map(|at| at.since(self.shared.env.now().mono));
        let reading = self.machine.room() > 0;
        let least = if self.machine.is_receiving() { READ_CONTENT } else { READ_MIN };
        *most = least.max(*most);
        let came = tokio::select! {
            biased;
            // Once it has come the machine drains for ever: it is not waited for again.
            () = drain, if !self.machine.is_draining() => Came::Drain,
            (buffer, count) = read(&mut self.stream, *most), if reading => Came::Read(buffer, count),
            () = sleep_by(timer, timeout) => Came::Time,
        };
        match came {
            Came::Drain => self.tell(Some(Input::Drain)),
            Came::Read(buffer, count) => {
                self.tell(Some(if count == 0 { Input::Closed } else { Input::Bytes(&buffer[..count]) }));
                BUFFER.set(buffer);
                // As many as were asked for say that more comes: fewer, larger reads.
                if count == *most {
                    *most = (count * 4).min(READ_MAX);
                } else if !self.machine.is_receiving() {
                    *most = READ_MIN;
                }
            }
            Came::Time => self.tell(None),
        }
    }

    /// The answer to a question, or nothing: the session was told what the client has said meanwhile. It must know of it before it replies, for
    /// such a client did not wait for the reply.
    async fn hear(&mut self, asking: &mut Asking, most: usize) -> Option<Answer> {
        let reading = self.machine.room() > 0 && !asking.ended;
        tokio::select! {
            biased;
            (buffer, count) = read(&mut self.stream, most), if reading => {
                match count {
                    0 => asking.ended = true,
                    count => self.tell(Some(Input::Bytes(&buffer[..count]))),
                }
                BUFFER.set(buffer);
                None
            }
            answer = &mut asking.answer => Some(answer),
        }
    }

    async fn secure(&mut self) {
        let result = match &self.tls {
            None => Err("no certificate is configured".to_owned()),
            Some(config) => {
                let timeout = self.machine.next_timeout().map(|at| at.since(self.shared.env.now().mono));
                tokio::select! {
                    biased;
                    result = self.stream.secure_as_server(config) => result,
                    () = sleep(timeout) => Err("the handshake took too long".to_owned()),
                }
            }
        };
        match result {
            Ok(facts) => self.tell(Some(Input::Secured(facts))),
            Err(why) => self.tell(Some(Input::TlsFailed(why))),
        }
    }
}

/// Ends when the daemon drains, and never if that can not come any more.
async fn drain(mut draining: watch::Receiver<bool>) {
    if draining.wait_for(|draining| *draining).await.is_err() {
        std::future::pending().await
    }
}

/// Makes a message and what is staged of its content durable, together with other changes.
pub async fn commit<E: Environment>(
    shared: &Shared<E>,
    stage: &mut Stage,
    mut message: Box<Message>,
    mut changes: Vec<Change>,
) -> Result<(), Refusal> {
    let staged = stage.finish(shared).await?;
    message.place = staged.place;
    message.stored = staged.stored;
    message.checksum = staged.checksum;
    changes.insert(0, Change::Commit(message));
    let result = shared.spool.append(changes, staged.content).await;
    match result {
        Ok(()) => stage.committed(),
        Err(_) => stage.abandon(shared).await,
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    #[test]
    fn who_waits_for_octets_holds_no_buffer() {
        let mut context = Context::from_waker(Waker::noop());
        let (mut client, mut server) = tokio::io::duplex(100);
        let mut reading = pin!(read(&mut server, 4));
        assert!(reading.as_mut().poll(&mut context).is_pending());
        let buffer = BUFFER.take();
        assert_eq!(buffer.len(), READ_MAX, "it is the thread's again");
        BUFFER.set(buffer);
        assert!(pin!(client.write_all(b"NOOP\r\n")).poll(&mut context).is_ready());
        let Poll::Ready((buffer, count)) = reading.poll(&mut context) else { panic!("octets have come") };
        assert_eq!(&buffer[..count], b"NOOP", "no more than asked for");
        assert_eq!(BUFFER.take().len(), 0, "one buffer, and it is ours now");
    }
}

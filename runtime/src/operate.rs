//! The server's side of the control socket: who asks for what, and who may.

use crate::content::Reader;
use crate::control::{REQUEST_MAX, Reply, Request, SOCKET, Status, envelope_lines, listing};
use crate::env::real::{Real, listen_at};
use crate::inbound::Shared;
use crate::limits;
use crate::listen::Failures;
use crate::orders::Orders;
use crate::serve::House;
use crate::spool::Spool;
use crate::transfer::{Exporter, Importer};
use crate::trouble::{Cause, Fault, told};
use nix::sys::socket::{getsockopt, sockopt};
use postrider_core::mail::{Loaded, Order, OrderResult, QueueId, QueueName, Selection};
use postrider_core::manager::Input;
use postrider_core::queue::transfer;
use postrider_core::time::Timestamp;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Something for the main loop, and where its result goes.
pub type Wish = (Request, oneshot::Sender<Result<(), String>>);

/// A connection of a command.
type Line = BufStream<UnixStream>;

/// The control socket.
pub struct Stage {
    listener: UnixListener,
    desk: Arc<Desk>,
}

struct Desk {
    wishes: mpsc::Sender<Wish>,
    spool: Spool,
    shared: Arc<Shared<Real>>,
    orders: Arc<Orders>,
    facts: mpsc::UnboundedSender<Input>,
    status: Box<dyn Fn() -> Status + Send + Sync>,
    owner: u32,
    /// Places for those who are neither root nor `mail_owner`: they cannot lock an operator out.
    public: Semaphore,
}

impl Stage {
    /// Opens the socket.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(
        house: &House<Real>,
        setup: &crate::cli::Setup,
        wishes: mpsc::Sender<Wish>,
    ) -> Result<Self, Fault> {
        let path = setup.spool().join(SOCKET);
        let fail = |error: std::io::Error| {
            Fault::new(Cause::of_path(&error), format!("{}: {}", path.display(), told(&error)))
        };
        let listener = listen_at(&path).map_err(fail)?;
        // Everybody may knock; the kernel says who it is.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).map_err(fail)?;
        let start = Instant::now();
        let (listening, configuration) = (house.listening_then(), setup.directory.display().to_string());
        let sessions = house.session_counter();
        let shared = Arc::clone(&house.shared);
        let status = move || Status {
            process: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: start.elapsed().as_secs(),
            sessions: sessions(),
            listening: listening(),
            configuration: configuration.clone(),
            recording: shared.recorder.words(),
        };
        let desk = Desk {
            wishes,
            spool: house.shared.spool.clone(),
            shared: Arc::clone(&house.shared),
            orders: Arc::clone(&house.orders),
            facts: house.facts.clone(),
            status: Box::new(status),
            owner: nix::unistd::Uid::effective().as_raw(),
            public: Semaphore::new(limits::CONTROL_PUBLIC_MAX),
        };
        Ok(Self { listener, desk: Arc::new(desk) })
    }

    /// Serves commands until the process ends.
    pub async fn run(self) {
        let mut failures = Failures::default();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    failures.end();
                    let desk = Arc::clone(&self.desk);
                    tokio::spawn(async move {
                        // Who hangs up in the middle loses the answer, not we.
                        _ = desk.serve(stream).await;
                    });
                }
                Err(error) => {
                    failures.pause(|| format!("control socket: {}; commands wait", told(&error))).await;
                }
            }
        }
    }
}

impl Desk {
    async fn serve(&self, stream: UnixStream) -> std::io::Result<()> {
        let uid = getsockopt(&stream, sockopt::PeerCredentials).map(|who| who.uid()).unwrap_or(u32::MAX);
        let trusted = uid == 0 || uid == self.owner;
        let mut stream = BufStream::new(stream);
        let place = if trusted { None } else { self.public.try_acquire().ok() };
        if !trusted && place.is_none() {
            return finish(&mut stream, &Reply::Failed("too many commands at once; try again".to_owned()))
                .await;
        }
        let mut line = Vec::new();
        let mut bounded = (&mut stream).take(REQUEST_MAX as u64);
        let reading = bounded.read_until(b'\n', &mut line);
        tokio::time::timeout(limits::CONTROL_PATIENCE, reading).await.map_err(std::io::Error::other)??;
        let request = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => request,
            Err(error) => {
                return finish(&mut stream, &Reply::Failed(format!("not understood: {error}"))).await;
            }
        };
        if !request.is_public() && !trusted {
            let why = "only root and mail_owner may do this";
            return finish(&mut stream, &Reply::Failed(why.to_owned())).await;
        }
        match self.obey(request, &mut stream).await? {
            Ok(()) => finish(&mut stream, &Reply::End).await,
            Err(why) => finish(&mut stream, &Reply::Failed(why)).await,
        }
    }

    async fn obey(&self, request: Request, out: &mut Line) -> std::io::Result<Result<(), String>> {
        match request {
            Request::Status => put(out, &Reply::Status((self.status)())).await.map(Ok),
            Request::Stop | Request::Reload | Request::Wake => Ok(self.wish(request).await),
            Request::Show(id) => self.show(id, out).await,
            Request::Export(selections, hold) => self.export(selections, hold, out).await,
            Request::Import => import(Arc::clone(&self.shared), out).await,
            Request::Order(order) => match self.order(order).await {
                OrderResult::Done(count) => put(out, &Reply::Done(count)).await.map(Ok),
                OrderResult::Listed(messages) => self.list(messages, out).await.map(Ok),
                OrderResult::Failed(why) => Ok(Err(why)),
            },
        }
    }

    async fn order(&self, order: Order) -> OrderResult {
        self.orders.give(&self.facts, order).await
    }

    async fn listed(&self, selection: Selection) -> Result<Vec<(QueueId, QueueName)>, String> {
        match self.order(Order::List(selection)).await {
            OrderResult::Listed(messages) => {
                Ok(messages.into_iter().map(|(id, queue, _)| (id, queue)).collect())
            }
            OrderResult::Failed(why) => Err(why),
            OrderResult::Done(_) => Ok(Vec::new()),
        }
    }

    async fn export(
        &self,
        selections: Vec<Selection>,
        hold: bool,
        out: &mut Line,
    ) -> std::io::Result<Result<(), String>> {
        let mut chosen = std::collections::BTreeMap::new();
        for selection in selections {
            match self.listed(selection).await {
                Ok(listed) => chosen.extend(listed),
                Err(why) => return Ok(Err(why)),
            }
        }
        put(out, &Reply::Content(transfer::HEADING.as_bytes().to_vec())).await?;
        let mut count = 0;
        for (id, queue) in chosen {
            if hold && queue != QueueName::Hold {
                let held = self.order(Order::Hold(Selection::Id(id))).await;
                let now = self.listed(Selection::Id(id)).await.unwrap_or_default();
                if !matches!((held, &now[..]), (OrderResult::Done(_), [(_, QueueName::Hold)])) {
                    let text = format!("{id}: it is being delivered, and left out; export it later");
                    put(out, &Reply::Note(text)).await?;
                    continue;
                }
            }
            let mut loaded = match self.spool.load(id).await {
                Ok(Some(loaded)) => *loaded,
                Ok(None) => continue,
                Err(why) => return Ok(Err(format!("{id}: {why}"))),
            };
            // What was put on hold for the journey goes on where it arrives.
            loaded.marks.held = queue == QueueName::Hold;
            match self.export_one(loaded, out).await? {
                Ok(whole) => count += u64::from(whole),
                Err(why) => return Ok(Err(why)),
            }
        }
        put(out, &Reply::Content(transfer::total(count))).await.map(Ok)
    }

    /// One message; false when it left the queue meanwhile.
    async fn export_one(&self, loaded: Loaded, out: &mut Line) -> std::io::Result<Result<bool, String>> {
        let mut export = Exporter::new(self.spool.clone(), loaded);
        while let Some(octets) = export.next().await {
            match octets {
                Ok(octets) => put(out, &Reply::Content(octets)).await?,
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(export.is_whole()))
    }

    /// One message at a time is loaded, however long the queue.
    async fn list(
        &self,
        messages: Vec<(QueueId, QueueName, Option<Timestamp>)>,
        out: &mut Line,
    ) -> std::io::Result<()> {
        for (id, queue, next) in messages {
            match self.spool.load(id).await {
                Ok(Some(loaded)) => put(out, &Reply::Listing(listing(&loaded, queue, next))).await?,
                // Gone since it was listed: not in the list.
                Ok(None) => {}
                Err(why) => put(out, &Reply::Note(unreadable(id, &why))).await?,
            }
        }
        Ok(())
    }

    async fn wish(&self, request: Request) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let stopping = || "the daemon is stopping".to_owned();
        self.wishes.send((request, reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    async fn show(&self, id: QueueId, out: &mut Line) -> std::io::Result<Result<(), String>> {
        let loaded = match self.spool.load(id).await {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return Ok(Err(format!("{id}: no such message in the queue"))),
            Err(why) => return Ok(Err(unreadable(id, &why))),
        };
        put(out, &Reply::Envelope(envelope_lines(&loaded))).await?;
        let mut reader = Reader::new(id, Arc::new(loaded.message.pieces));
        loop {
            match reader.next(&self.spool, postrider_core::limits::CHUNK_MAX).await {
                Ok(octets) if octets.is_empty() => return Ok(Ok(())),
                Ok(octets) => put(out, &Reply::Content(octets)).await?,
                Err(why) => return Ok(Err(why)),
            }
        }
    }
}

/// It is in the queue, and nobody may think that it is not.
fn unreadable(id: QueueId, why: &str) -> String {
    format!("{id}: it is in the queue, and can not be read now: {why}")
}

/// Takes messages in until the command has sent all.
async fn import(shared: Arc<Shared<Real>>, stream: &mut Line) -> std::io::Result<Result<(), String>> {
    let mut importer = Importer::new(shared);
    let mut buffer = vec![0; postrider_core::limits::CHUNK_MAX];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(importer.end().await);
        }
        importer.feed(&buffer[..count]);
        let (taken, result) = importer.take_in().await;
        for (before, id) in &taken {
            put(stream, &Reply::Imported(*before, *id)).await?;
        }
        stream.flush().await?;
        if result.is_err() {
            return Ok(result);
        }
    }
}

/// Writes an answer; a command that does not read for long is given up.
async fn put(out: &mut Line, reply: &Reply) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    tokio::time::timeout(limits::CONTROL_PATIENCE, out.write_all(&line))
        .await
        .map_err(std::io::Error::other)?
}

/// Writes the last answer, and all that was held back to be written together.
async fn finish(out: &mut Line, reply: &Reply) -> std::io::Result<()> {
    put(out, reply).await?;
    tokio::time::timeout(limits::CONTROL_PATIENCE, out.flush()).await.map_err(std::io::Error::other)?
}

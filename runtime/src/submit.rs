//! Drives the submission joint: a message that is made on this host, from its octets to its commit.

use crate::env::Environment;
use crate::inbound::{Shared, commit};
use crate::observe;
use crate::site::Site;
use crate::staging::Stage;
use postrider_core::machine::Machine;
use postrider_core::mail::QueueId;
use postrider_core::submission::{Effect, Failure, Input, Start, Submission};
use std::future::Future;
use std::io;

/// Where the octets of a message come from: the next ones, or nothing at its end.
pub trait Source {
    /// The next octets.
    ///
    /// # Errors
    /// They cannot be read.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Vec<u8>>>> + Send;
}

/// All octets at once.
#[derive(Debug)]
pub struct Whole(pub Option<Vec<u8>>);

impl Source for Whole {
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.take())
    }
}

/// Octets of a file.
#[derive(Debug)]
pub struct FromRead<R>(pub R);

impl<R: io::Read + Send> Source for FromRead<R> {
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut octets = vec![0; postrider_core::limits::CHUNK_MAX];
        let count = self.0.read(&mut octets)?;
        octets.truncate(count);
        Ok((count > 0).then_some(octets))
    }
}

/// What a drain came to.
enum Next {
    More,
    Ended(Result<Option<QueueId>, Failure>),
}

/// Makes a message durable; its id, or none when a rule threw it away.
///
/// # Errors
/// It was not taken.
pub async fn submit<E: Environment>(
    shared: &Shared<E>,
    site: &Site<E>,
    start: Start,
    source: &mut (impl Source + Send),
) -> Result<Option<QueueId>, Failure> {
    let mut machine = Submission::new(site.submission.clone());
    let mut staged = Stage::new();
    machine.handle_input(shared.env.now(), Input::Start(Box::new(start)));
    let mut ended = false;
    loop {
        if let Next::Ended(result) = drain(shared, site, &mut machine, &mut staged).await {
            return result;
        }
        let next = if ended { Ok(None) } else { source.next().await };
        let input = match next {
            _ if ended => Input::Abort,
            Ok(Some(octets)) => {
                machine.handle_input(shared.env.now(), Input::Content(&octets));
                continue;
            }
            Ok(None) => {
                ended = true;
                Input::End
            }
            Err(_) => Input::Abort,
        };
        machine.handle_input(shared.env.now(), input);
    }
}

/// Carries out effects until the machine wants content, or has ended.
async fn drain<E: Environment>(
    shared: &Shared<E>,
    site: &Site<E>,
    machine: &mut Submission,
    staged: &mut Stage,
) -> Next {
    while let Some(effect) = machine.poll_output() {
        match effect {
            Effect::Identify => {
                let id = shared.identify();
                staged.name(id);
                machine.handle_input(shared.env.now(), Input::Identified(id));
            }
            Effect::Stage(octets) => staged.put(shared, octets).await,
            Effect::Unstage => staged.abandon(shared).await,
            Effect::Ask(question) => {
                let answer = site.answers.answer(&question).await;
                machine.handle_input(shared.env.now(), Input::Answer(answer));
            }
            Effect::Commit(message, changes) => {
                let result = commit(shared, staged, message, changes).await;
                machine.handle_input(shared.env.now(), Input::Committed(result));
            }
            Effect::Done(result) => {
                return Next::Ended(result);
            }
            Effect::Event(event) => observe::log(event),
        }
    }
    Next::More
}

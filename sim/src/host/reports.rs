//! Drives the submission joint for reports: reads what a report returns, composes it, and has it committed with the
//! changes that belong to it.

use super::spool::Reader;
use super::{Live, Who, Work};
use crate::oracle::{Ledger, Report};
use crate::world::Scope;
use postrider_core::ask::Answer;
use postrider_core::limits::CHUNK_MAX;
use postrider_core::machine::Machine;
use postrider_core::mail::{Attempt, Notice, QueueId, Refusal};
use postrider_core::manager;
use postrider_core::report::{self, Kind, Plan, Unmade};
use postrider_core::submission::{Effect, Input, Maker, Start, Submission};
use std::sync::Arc;

/// What is made.
#[derive(Debug)]
pub(super) enum About {
    /// A report.
    Report(Box<Plan>),
    /// A notice, which is about no message.
    Notice,
    /// A new message of an old one, whose recipients the attempt has.
    Requeue(Box<Attempt>, Box<Start>),
}

/// A message that is being made.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) about: About,
    /// What has been read of the message that it is about, and how much is wanted.
    pub(super) original: Vec<u8>,
    wanted: usize,
    pub(super) machine: Submission,
    /// Its content, until it has been given to the machine; then only its end.
    pub(super) content: Option<Vec<u8>>,
    ended: bool,
    staged: Vec<Vec<u8>>,
}

impl Task {
    pub(super) fn new(about: About, machine: Submission, wanted: usize) -> Self {
        let (original, staged) = (Vec::new(), Vec::new());
        Self { about, original, wanted, machine, content: None, ended: false, staged }
    }

    pub(super) const fn wanted(&self) -> usize {
        self.wanted
    }
}

impl Live {
    pub(super) fn report(&mut self, scope: &mut Scope<'_>, plan: Box<Plan>) {
        scope.fabric.ledger.reports(&plan.about.message_id, plan.double_bounce);
        let id = self.next();
        let wanted = usize::try_from(report::octets_wanted(&plan, &self.site.report)).unwrap_or(usize::MAX);
        let reader = Reader::new(plan.about.id, Arc::new(plan.about.pieces.clone()));
        let machine = Submission::new(Arc::clone(&self.site.submission));
        self.reports.insert(id, Task::new(About::Report(plan), machine, wanted));
        self.open_reader(Who::Report(id), reader);
        if wanted == 0 {
            return self.work.push_back(Work::Content(Who::Report(id), Ok(Vec::new())));
        }
        self.read_content(scope, Who::Report(id), true, wanted.min(CHUNK_MAX));
    }

    /// A notice to the postmaster. One that is not taken is lost, as in production.
    pub(super) fn notice(&mut self, scope: &mut Scope<'_>, notice: &Notice) {
        let now = Self::now(scope);
        let site = Arc::clone(&self.site);
        let Some(withheld) = self.allowance.take(now.mono) else { return };
        let Some((envelope, content)) = report::notice(notice, &site.report, now, 0, withheld) else {
            return;
        };
        let mut machine = Submission::new(Arc::clone(&site.submission));
        let start = Start { maker: Maker::Notice, envelope, prepend: Vec::new(), changes: Vec::new() };
        machine.handle_input(now, Input::Start(Box::new(start)));
        let id = self.next();
        let task = Task { content: Some(content), ..Task::new(About::Notice, machine, 0) };
        self.reports.insert(id, task);
        self.drain_report(scope, id);
    }

    pub(super) fn report_content(
        &mut self,
        scope: &mut Scope<'_>,
        id: u64,
        content: Result<Vec<u8>, String>,
    ) {
        let Some(task) = self.reports.get_mut(&id) else { return };
        let octets = match content {
            Ok(octets) => octets,
            Err(why) => return self.end_report(scope, id, Err(Unmade::Trouble(why))),
        };
        task.original.extend_from_slice(&octets);
        if !octets.is_empty() && task.original.len() < task.wanted {
            let left = (task.wanted - task.original.len()).min(CHUNK_MAX);
            return self.read_content(scope, Who::Report(id), false, left);
        }
        task.original.truncate(task.wanted);
        let now = Self::now(scope);
        let site = Arc::clone(&self.site);
        let plan = match &task.about {
            About::Report(plan) => plan,
            About::Notice => return,
            About::Requeue(..) => return self.requeue_read(scope, id),
        };
        let content = report::compose(plan, &site.report, now, 0, &task.original);
        let start = Start {
            maker: Maker::Report { kind: plan.kind, about: plan.about.id, postmaster: plan.double_bounce },
            envelope: report::envelope(plan, &site.report, &content, now.wall),
            prepend: Vec::new(),
            changes: plan.changes.clone(),
        };
        task.content = Some(content);
        task.machine.handle_input(now, Input::Start(Box::new(start)));
        self.drain_report(scope, id);
    }

    pub(super) fn drain_report(&mut self, scope: &mut Scope<'_>, id: u64) {
        let who = Who::Report(id);
        while let Some(task) = self.reports.get_mut(&id) {
            let Some(effect) = task.machine.poll_output() else { return };
            match effect {
                Effect::Identify => return self.work.push_back(Work::Identify(who)),
                Effect::Stage(octets) => task.staged.push(octets),
                Effect::Unstage => task.staged.clear(),
                Effect::Ask(question) => return self.ask(scope, who, &question),
                Effect::Commit(message, changes) => {
                    if let About::Report(plan) = &task.about {
                        tell(&mut scope.fabric.ledger, plan, &message.message_id);
                    }
                    let content = std::mem::take(&mut task.staged);
                    return self.commit(scope, who, message, changes, content);
                }
                Effect::Done(result) => {
                    return self.end_report(scope, id, result.map_err(Unmade::from));
                }
                Effect::Event(event) => self.event(scope, &event),
            }
        }
    }

    fn end_report(&mut self, scope: &mut Scope<'_>, id: u64, result: Result<Option<QueueId>, Unmade>) {
        self.close_reader(Who::Report(id));
        match self.reports.remove(&id).map(|task| task.about) {
            Some(About::Report(plan)) => {
                let result = result.map(|_| ());
                self.work.push_back(Work::Manager(manager::Input::Reported(plan.about.id, result)));
            }
            Some(About::Requeue(attempt, _)) => {
                let made = result.map(|id| id.unwrap_or(attempt.message));
                self.requeue_made(scope, &attempt, made.map_err(|why| why.why().to_owned()));
            }
            Some(About::Notice) | None => {}
        }
    }

    /// Gives the machine the content, and then its end.
    fn feed_report(&mut self, scope: &mut Scope<'_>, id: u64) {
        let now = Self::now(scope);
        if let Some(task) = self.reports.get_mut(&id)
            && let Some(content) = task.content.take()
        {
            task.machine.handle_input(now, Input::Content(&content));
            self.drain_report(scope, id);
        }
        if let Some(task) = self.reports.get_mut(&id)
            && !task.ended
        {
            task.ended = true;
            task.machine.handle_input(now, Input::End);
            self.drain_report(scope, id);
        }
    }

    pub(super) fn report_identified(&mut self, scope: &mut Scope<'_>, report: u64, id: QueueId) {
        let Some(task) = self.reports.get_mut(&report) else { return };
        task.machine.handle_input(Self::now(scope), Input::Identified(id));
        self.drain_report(scope, report);
        self.feed_report(scope, report);
    }

    pub(super) fn report_answered(&mut self, scope: &mut Scope<'_>, id: u64, answer: Answer) {
        let Some(task) = self.reports.get_mut(&id) else { return };
        task.machine.handle_input(Self::now(scope), Input::Answer(answer));
        self.drain_report(scope, id);
    }

    pub(super) fn report_committed(&mut self, scope: &mut Scope<'_>, id: u64, result: Result<(), Refusal>) {
        let Some(task) = self.reports.get_mut(&id) else { return };
        task.machine.handle_input(Self::now(scope), Input::Committed(result));
        self.drain_report(scope, id);
    }
}

/// The ledger learns which failures a report tells of.
fn tell(ledger: &mut Ledger, plan: &Plan, message_id: &str) {
    let about = &plan.about;
    let tells = plan.kind == Kind::Failure && !plan.double_bounce;
    let address =
        |(number, _): &(u32, _)| Some(about.envelope.recipients.get(*number as usize)?.address.external());
    let failed: Vec<String> = plan.recipients.iter().filter(|_| tells).filter_map(address).collect();
    if let Some(what) = ledger.what(&about.message_id, failed.iter().map(String::as_str)) {
        ledger.composed(message_id, Report { report: true, ..what });
    }
}

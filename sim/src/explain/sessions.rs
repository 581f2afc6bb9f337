//! Sessions, taken again.

use super::{Entry, Summary, Who, difference, words};
use postrider::site::{Wrong, rooms};
use postrider_core::inbound::{self, Effect, Inbound};
use postrider_core::machine::Machine;
use postrider_core::params::Config;
use postrider_core::recording::{Digest, Heard, Opened, Said, SessionFact, Setting};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A configuration: its rooms by service, without and with stress.
type Doors = BTreeMap<(String, bool), Arc<inbound::Config>>;

#[derive(Default)]
pub(super) struct Sessions {
    settings: BTreeMap<u32, Doors>,
    players: BTreeMap<u64, Player>,
    /// Contents are in the recording.
    pub(super) whole: bool,
}

struct Player {
    machine: Inbound,
    digest: Digest,
    /// The number of the fact that comes next.
    next: u32,
    /// What it has asked, for the answer.
    asked: String,
}

fn told(wrong: Wrong) -> String {
    wrong.into_iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ")
}

impl Sessions {
    pub(super) fn set(&mut self, setting: Setting) -> Result<(), String> {
        let Setting { number, digest, main_cf, master_cf, origin, host, doors, zone } = setting;
        if digest != Setting::digest_of(&main_cf, &master_cf) {
            return Err("its digest is that of other texts".to_owned());
        }
        let (mut config, _) = Config::read(&main_cf, &master_cf, host);
        if let Some(origin) = origin {
            config.set_origin(&origin);
        }
        // Numbers begin anew with each start of the daemon; sessions of before are over then.
        let mut made = Doors::new();
        for listener in config.listeners() {
            let Some(tls_ready) = doors.get(&listener.service) else { continue };
            let usual = config.settings(Some(&listener.settings));
            let stress = config.settings_under_stress(Some(&listener.settings));
            for (hurried, settings) in [(false, usual), (true, stress)] {
                let rooms = rooms(&config, &settings, *tls_ready, &zone).map_err(told)?;
                made.insert((listener.service.clone(), hurried), Arc::new(rooms));
            }
        }
        self.settings.insert(number, made);
        Ok(())
    }

    pub(super) fn open(&mut self, opened: &Opened, summary: &mut Summary, tell: &mut dyn FnMut(&Entry)) {
        let Opened { session, at, service, hurried, setting, peer, said } = opened;
        let head = format!("{}:{} connects to {service} at {}", peer.address, peer.port, peer.local);
        let mut entry =
            Entry { at: at.wall, who: Who::Session(*session), head, lines: Vec::new(), urgent: false };
        let rooms = self.settings.get(setting).and_then(|doors| doors.get(&(service.clone(), *hurried)));
        let Some(rooms) = rooms else {
            summary.unexplained += 1;
            entry.lines.push("its configuration is not in the recording: it is not explained".to_owned());
            return tell(&entry);
        };
        let machine = Inbound::listening(*at, Arc::clone(rooms), *peer);
        let digest = Digest::new(self.whole);
        let mut player = Player { machine, digest, next: 1, asked: String::new() };
        let fits = player.drain(*said, &mut entry, summary);
        tell(&entry);
        if fits {
            self.players.insert(*session, player);
        }
    }

    pub(super) fn hear(&mut self, heard: &Heard, summary: &mut Summary, tell: &mut dyn FnMut(&Entry)) {
        let Some(player) = self.players.get_mut(&heard.session) else {
            summary.unexplained += 1;
            return;
        };
        let who = Who::Session(heard.session);
        let mut entry =
            Entry { at: heard.at.wall, who, head: String::new(), lines: Vec::new(), urgent: false };
        if heard.number != player.next {
            entry.head = "records of this session were lost here: from here on its decisions are as recorded"
                .to_owned();
            entry.urgent = true;
            summary.unexplained += 1;
            self.players.remove(&heard.session);
            return tell(&entry);
        }
        player.next += 1;
        let octets = if let SessionFact::Bytes(octets) = &heard.fact { octets.unpack() } else { Vec::new() };
        let before = player.machine.understood();
        match heard.fact.input(&octets) {
            Some(input) => player.machine.handle_input(heard.at, input),
            None => player.machine.handle_timeout(heard.at),
        }
        entry.head = words::session_fact(
            &heard.fact,
            &octets,
            (before, player.machine.content_heard()),
            &player.asked,
        );
        let fits = player.drain(heard.said, &mut entry, summary);
        let over = player.machine.is_closed();
        tell(&entry);
        if !fits || over && matches!(heard.fact, SessionFact::Closed) {
            self.players.remove(&heard.session);
        }
    }
}

impl Player {
    /// Takes what the machine put out; true when it is what was recorded.
    fn drain(&mut self, recorded: Said, entry: &mut Entry, summary: &mut Summary) -> bool {
        let mut done = Vec::new();
        while let Some(effect) = self.machine.poll_output() {
            self.digest.effect(&effect);
            if let Effect::Ask(question) = &effect {
                self.asked = words::question(question);
            }
            done.extend(words::effect(&effect));
        }
        summary.stimuli += 1;
        entry.lines.extend(self.machine.reasons().into_iter().map(|reason| format!("because {reason}")));
        entry.lines.extend(done);
        let again = self.digest.said();
        if again != recorded {
            summary.divergences += 1;
            entry.urgent = true;
            entry.lines.push(difference(recorded, again));
        }
        again == recorded
    }
}

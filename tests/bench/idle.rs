//! What a session costs that says nothing: anonymous memory of the daemon before and after many have come.

use crate::Options;
use crate::clients::Talk;
use crate::figures::{Report, short};
use crate::server::{Rig, Server, Who};
use crate::tls;
use std::net::TcpStream;

/// Sessions of a measurement.
const SESSIONS: usize = 2_000;
/// No limit stands in the way of so many clients from one address.
pub(crate) const MANY: &str = "smtpd_client_connection_count_limit = 0\nsmtpd_timeout = 3600s";

/// Kilobytes for each session that `connect` opens.
fn each<T>(server: &Server<'_>, connect: impl Fn() -> T) -> f64 {
    // Before counting: buffers, thread stacks and caches that are made once.
    let warm: Vec<T> = (0..50).map(|_| connect()).collect();
    drop(warm);
    server.rest();
    let before = server.anonymous();
    let sessions: Vec<T> = (0..SESSIONS).map(|_| connect()).collect();
    server.rest();
    let after = server.anonymous();
    drop(sessions);
    (after.saturating_sub(before)) as f64 / SESSIONS as f64 / 1024.0
}

/// Measures both rows.
pub(crate) fn measure(rig: &Rig, options: &Options, report: &mut Report) {
    let certificate = tls::certificate(rig.root());
    let lines = format!("{MANY}\n{}", certificate.lines);
    let mut plain = Vec::new();
    let mut secure = Vec::new();
    for round in 1..=options.rounds.min(3) {
        let server = rig.start(Who::Postrider, &lines);
        plain.push(each(&server, || greeted(rig.port)));
        report.keep("idle", "postrider", round, &[("kilobytes", plain[round - 1])]);
        drop(server);
        let server = rig.start(Who::Postrider, &lines);
        secure.push(each(&server, || tls::secured(&certificate, rig.port)));
        report.keep("idle-tls", "postrider", round, &[("kilobytes", secure[round - 1])]);
    }
    // The worst of the rounds: memory does not vary with the weather.
    let worst = |figures: &[f64]| figures.iter().copied().fold(0.0, f64::max);
    let (plain, secure) = (worst(&plain), worst(&secure));
    report.judge("memory of an idle session", format!("{} KB", short(plain)), "under 16 KB", plain < 16.0);
    report.judge(
        "memory of an idle TLS session",
        format!("{} KB", short(secure)),
        "under 40 KB",
        secure < 40.0,
    );
}

fn greeted(port: u16) -> TcpStream {
    let mut talk = Talk::connect(port).expect("the daemon greets");
    talk.say("EHLO client.test\r\n", '2').expect("the daemon answers EHLO");
    talk.into_inner()
}

//! Parameters whose effect only the whole daemon shows.

use postrider_tests::daemon::Daemon;
use postrider_tests::server::{Answer, Server};
use postrider_tests::smtp::Client;
use postrider_tests::{PATIENCE, binary, program, wait_for};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[test]
fn the_queue_lies_where_queue_directory_says() {
    let mut daemon = Daemon::prepare("queue-directory", "", "");
    let elsewhere = daemon.path().join("elsewhere");
    daemon.write_main_cf(&format!("queue_directory = {}", elsewhere.display()));
    daemon.run();
    assert!(elsewhere.join("postrider").is_dir());
    // Where it is by the tools' own lines.
    assert!(!daemon.path().join("spool").exists());
}

#[test]
fn values_may_refer_to_the_process_and_its_directory() {
    let lines = "smtpd_banner = $myhostname $config_directory $process_name $process_id";
    let mut daemon = Daemon::start("process", lines);
    let directory = daemon.config().canonicalize().unwrap();
    for _ in 0..2 {
        let process = daemon.process();
        let wanted = format!("220 mail.here.test {} postrider {process}\r\n", directory.display());
        assert_eq!(daemon.client().greeting, wanted);
        // Another process has another number.
        daemon.kill();
        daemon.run();
        assert_ne!(daemon.process(), process);
    }
    // What is computed can not be set.
    for line in ["process_id = 7", "process_name = letters"] {
        let daemon = Daemon::prepare("process-set", &format!("{line}\n{lines}"), "");
        let check = daemon.command(&["check"]);
        let told = String::from_utf8_lossy(&check.stdout).into_owned();
        assert!(!told.ends_with(": 0 errors, 0 warnings\n"), "{line}: {told}");
    }
}

#[test]
fn one_client_may_have_so_many_connections() {
    let limit = "smtpd_client_connection_count_limit = 1\n";
    let nobody = "smtpd_client_event_limit_exceptions =";
    let daemon = Daemon::start("connection-count", &format!("{limit}{nobody}"));
    let first = daemon.client();
    let second = Client::connect(daemon.port);
    assert!(first.greeting.starts_with("220 "), "{}", first.greeting);
    assert!(second.greeting.starts_with("421 4.7.0 "), "{}", second.greeting);

    let by_name = "smtpd_client_event_limit_exceptions = friend.test";
    let mut daemon = Daemon::prepare("connection-count-excepted", &format!("{limit}{by_name}"), "");
    daemon.own_hosts("127.0.0.1 friend.test\n");
    daemon.run();
    let both = [daemon.client(), daemon.client()];
    assert!(both.iter().all(|client| client.greeting.starts_with("220 ")), "{both:?}");
}

#[test]
fn a_listener_s_mail_goes_through_the_cleanup_service_that_it_names() {
    let port = postrider_tests::free_port();
    // As content filters are set up: what comes back from the filter is checked and expanded by another cleanup.
    let services = format!(
        "127.0.0.1:{port} inet n - n - - smtpd\n  -o cleanup_service_name=second\n\
         second unix n - n - 0 cleanup\n  -o {{ header_checks = regexp:{{{{/^Subject: over/ REJECT over}}}} }}"
    );
    let daemon = Daemon::start_with("cleanup-service", "", &services);
    let text = "Subject: over\r\n\r\nx\r\n";
    let usual = daemon.client().deliver("me@here.test", &["you@here.test"], text);
    assert!(usual.starts_with("250 "), "{usual}");
    let second = Client::connect(port).deliver("me@here.test", &["you@here.test"], text);
    assert!(second.starts_with("550 5.7.1 over"), "{second}");
}

#[test]
fn the_log_has_the_name_that_is_set() {
    let daemon = Daemon::start("syslog-name", "syslog_name = letters");
    _ = daemon.client().say("QUIT");
    _ = daemon.wait_for_log("letters/smtpd");
}

/// A daemon whose `/dev/log` is a socket of ours: it runs in a mount namespace with a `/dev` of its own.
struct Logged {
    logger: UnixDatagram,
    child: Child,
    daemon: Daemon,
}

impl Logged {
    fn start(name: &str, lines: &str) -> Self {
        let daemon = Daemon::prepare(name, &format!("maillog_file =\n{lines}"), "");
        let socket = daemon.path().join("logger");
        let logger = UnixDatagram::bind(&socket).unwrap();
        logger.set_read_timeout(Some(PATIENCE)).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        let script = r#"set -e
            mkdir "$1/dev"
            mount -t tmpfs none "$1/dev"
            for device in null zero random urandom; do
                touch "$1/dev/$device"
                mount --bind "/dev/$device" "$1/dev/$device"
            done
            ln -s "$1/logger" "$1/dev/log"
            mount --rbind "$1/dev" /dev
            exec "$2" start -c "$1/config""#;
        let mut command = Command::new(program("unshare", "util-linux"));
        // Who is not root may be root in a namespace of users.
        let root = nix::unistd::Uid::effective().is_root();
        command.arg(if root { "-m" } else { "-rm" }).args(["sh", "-c", script, "sh"]);
        command.arg(daemon.path()).arg(binary("postrider")).stdin(Stdio::null());
        command.stderr(fs::File::create(daemon.path().join("stderr")).unwrap());
        Self { logger, child: command.spawn().unwrap(), daemon }
    }

    /// Packets up to the first that contains the text; that one.
    fn wait_for(&self, text: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let count = self.logger.recv(&mut buffer).expect("the logger is told");
            let packet = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if packet.contains(text) {
                return packet;
            }
        }
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn the_system_s_logger_is_told_facility_and_name() {
    // syslog(3): eight times the number of the facility, and the level; local3 is 19, news 7, security the old name of auth, 4.
    for (facility, number) in [("local3", 19), ("news", 7), ("security", 4)] {
        let lines = format!("syslog_facility = {facility}\nsyslog_name = letters");
        let daemon = Logged::start(&format!("syslog-{facility}"), &lines);
        let packet = daemon.wait_for("daemon started");
        let information = number * 8 + 6;
        assert!(packet.starts_with(&format!("<{information}>")), "{packet}");
        assert!(packet.contains(" letters/master["), "{packet}");
    }
}

#[test]
fn where_there_is_no_logger_lines_on_standard_error_name_the_host() {
    let daemon = Logged::start("syslog-none", "");
    _ = daemon.wait_for("daemon started");
    fs::remove_file(daemon.daemon.path().join("logger")).unwrap();
    daemon.logger.shutdown(std::net::Shutdown::Both).unwrap();
    let process = nix::unistd::Pid::from_raw(i32::try_from(daemon.child.id()).unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGHUP).unwrap();
    let path = daemon.daemon.path().join("stderr");
    let line = wait_for("a line that the logger did not take", || {
        let text = fs::read_to_string(&path).unwrap();
        text.lines().find(|line| line.contains(" postrider/master[")).map(str::to_owned)
    });
    let mut words = line.split_whitespace().skip(3);
    assert_eq!(words.next(), Some("mail"), "behind the time: {line}");
    assert!(words.next().is_some_and(|word| word.starts_with("postrider/master[")), "{line}");
}

/// A certificate authority of its own, and a certificate for 127.0.0.1 and mail.here.test signed by it.
fn certificates(folder: &Path) {
    let openssl = |words: &str| {
        let output = Command::new(program("openssl", "openssl"))
            .args(words.split_whitespace())
            .current_dir(folder)
            .output()
            .expect("openssl runs");
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    };
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1,DNS:mail.here.test\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority.test"));
    openssl(&format!("req {key} -keyout leaf.key -out leaf.csr -subj /CN=mail.here.test"));
    openssl(
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out leaf.pem",
    );
    for name in ["ca.pem", "leaf.pem", "leaf.key"] {
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
}

#[test]
fn a_server_shows_its_certificate_and_a_client_trusts_its_authority() {
    let server = Daemon::prepare("tls-server", "", "");
    certificates(server.path());
    let folder = server.path().display().to_string();
    let mut server = server;
    server.write_main_cf(&format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {folder}/leaf.pem\nsmtpd_tls_key_file = {folder}/leaf.key"
    ));
    server.run();
    let roots = server.path().join("roots");
    fs::create_dir(&roots).unwrap();
    fs::copy(server.path().join("ca.pem"), roots.join("authority.pem")).unwrap();
    let roots = roots.display();
    let trusts = [
        (format!("smtp_tls_CAfile = {folder}/ca.pem"), "Trusted TLS connection established to 127.0.0.1"),
        (format!("smtp_tls_CApath = {roots}"), "Trusted TLS connection established to 127.0.0.1"),
        (String::new(), "Untrusted TLS connection established to 127.0.0.1"),
    ];
    for (lines, said) in trusts {
        let relay = format!(
            "relayhost = [127.0.0.1]:{}\nsmtp_tls_security_level = may\nsmtp_tls_loglevel = 1",
            server.port
        );
        let client =
            Daemon::start("tls-client", &format!("{relay}\nmydestination = elsewhere.test\n{lines}"));
        let reply =
            client.client().deliver("a@client.test", &["b@here.test"], "Subject: tls\r\n\r\nbody\r\n");
        assert!(reply.starts_with("250 "), "{reply}");
        _ = client.wait_for_log(said);
        _ = client.wait_for_log("status=sent");
    }
    assert_eq!(server.wait_for_mail("b", 3).len(), 3);
}

/// Postfix tells more of a handshake the higher the level; here the line of level 1 is all there is to tell.
#[test]
fn handshakes_are_told_of_from_level_1_on_by_each_side_for_itself() {
    let line = "TLS connection established";
    for (server_level, client_level) in [("0", "0"), ("1", "0"), ("0", "1"), ("2", "2"), ("", "")] {
        let level = |name: &str, level: &str| match level {
            "" => String::new(),
            level => format!("{name} = {level}\n"),
        };
        let mut server = Daemon::prepare("tls-log-server", "", "");
        certificates(server.path());
        let folder = server.path().display();
        server.write_main_cf(&format!(
            "{}smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {folder}/leaf.pem\n\
             smtpd_tls_key_file = {folder}/leaf.key\nsmtpd_tls_received_header = yes",
            level("smtpd_tls_loglevel", server_level)
        ));
        server.run();
        let client = Daemon::start(
            "tls-log-client",
            &format!(
                "{}smtp_tls_security_level = may\nrelayhost = [127.0.0.1]:{}\nmydestination =",
                level("smtp_tls_loglevel", client_level),
                server.port
            ),
        );
        _ = client.client().deliver("a@client.test", &["b@here.test"], "Subject: tls\r\n\r\nbody\r\n");
        let mail = String::from_utf8_lossy(&server.wait_for_mail("b", 1)[0]).into_owned();
        assert!(mail.contains("(using TLSv1.3 with cipher "), "{mail}");
        _ = client.wait_for_log("status=sent");
        let told = |daemon: &Daemon| daemon.log().matches(line).count();
        let is = |level: &str| usize::from(!["", "0"].contains(&level));
        let levels = format!("levels {server_level}, {client_level}");
        assert_eq!((told(&server), told(&client)), (is(server_level), is(client_level)), "{levels}");
    }
}

#[test]
fn commands_are_looked_up_in_tables_and_files() {
    let mut daemon = Daemon::prepare("commands", "", "");
    let (words, more) = (daemon.config().join("words"), daemon.config().join("more"));
    fs::write(&words, "hush x\n").unwrap();
    fs::write(&more, "# of clients that we know\nXDEBUG, !NOOP\n").unwrap();
    daemon.write_main_cf(&format!(
        "smtpd_forbidden_commands = get hash:{} regexp:{{{{/^TRACE$$/ Bogus}}}}\nsmtpd_noop_commands = {}\n",
        words.display(),
        more.display()
    ));
    daemon.run();
    for word in ["GET /", "Hush", "trace"] {
        daemon.client().expect(word, "221 2.7.0");
    }
    let mut client = daemon.client();
    client.expect("XDEBUG on", "250 2.0.0 Ok");
    client.expect("XTRACE on", "500 5.5.2");
    let reply = client.deliver("a@client.test", &["b@here.test"], "Subject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250"), "{reply}");
    // A table that is gone: nobody knows which commands are forbidden.
    fs::remove_file(&words).unwrap();
    wait_for("the table to be looked at again", || {
        daemon.client().say("NOOP").starts_with("451 4.3.0").then_some(())
    });
    daemon.client().expect("QUIT", "221 2.0.0");
}

#[test]
fn started_as_root_the_daemon_becomes_mail_owner() {
    assert!(nix::unistd::Uid::effective().is_root(), "only root becomes another: run this test as root");
    let mut daemon = Daemon::prepare("mail-owner", "mail_owner = nobody\ndefault_privs = daemon", "");
    daemon.run();
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.process())).unwrap();
    let uid =
        status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap().split_whitespace().next().unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid;
    assert_eq!(uid, nobody.to_string(), "real user of the daemon");
}

/// Mail for a domain whose best mail exchanger is this host, though the domain is not in any of our lists.
#[test]
fn the_best_mail_exchanger_hands_over_to_another_transport() {
    let daemon =
        Daemon::start("best-mx", "best_mx_transport = virtual\nsmtp_destination_recipient_limit = 10");
    daemon.names.host("mail.here.test", "127.0.0.1");
    daemon.names.mail("best.test", &[(10, "mail.here.test.")]);
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<me@here.test>", "250");
    client.expect("RCPT TO:<one@best.test>", "250");
    client.expect("RCPT TO:<two@best.test>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: handed over\r\n\r\nbody\r\n.", "250");
    for user in ["one", "two"] {
        let mail = String::from_utf8_lossy(&daemon.wait_for_mail(user, 1)[0]).into_owned();
        assert!(mail.contains("Subject: handed over\n"), "{mail}");
    }
    _ = daemon.wait_for_log("to=<one@best.test>");
    wait_for("an empty queue", || {
        let output = daemon.command(&["mailq"]).stdout;
        String::from_utf8_lossy(&output).contains("Mail queue is empty").then_some(())
    });
    assert!(!daemon.log().contains("loops back to myself"), "{}", daemon.log());
}

/// The same without best_mx_transport: nobody delivers, and it would go in circles.
#[test]
fn without_best_mx_transport_such_mail_is_a_loop() {
    let daemon = Daemon::start("best-mx-loop", "");
    daemon.names.host("mail.here.test", "127.0.0.1");
    daemon.names.mail("best.test", &[(10, "mail.here.test.")]);
    let mut client = daemon.client();
    client.expect("EHLO client.test", "250");
    client.expect("MAIL FROM:<me@here.test>", "250");
    client.expect("RCPT TO:<one@best.test>", "250");
    client.expect("DATA", "354");
    client.expect("Subject: circles\r\n\r\nbody\r\n.", "250");
    let report = String::from_utf8_lossy(&daemon.wait_for_mail("me", 1)[0]).into_owned();
    assert!(report.contains("mail for best.test loops back to myself"), "{report}");
    assert_eq!(daemon.delivered("one").len(), 0);
}

/// An answer too long for UDP comes truncated, and is asked for again over TCP (RFC 7766 4): nothing else tells where mail goes.
#[test]
fn a_truncated_answer_is_asked_for_over_tcp_and_mail_goes_to_the_exchanger_in_it() {
    let server = Server::scripted_at("127.0.0.2:0", |_, _| Answer::Usual);
    let lines = format!(
        "transport_maps = inline:{{big.test=smtp:big.test:{}}}\nmaximal_queue_lifetime = 0",
        server.address.port()
    );
    let daemon = Daemon::start("dns-over-tcp", &lines);
    let others: Vec<String> = (0..80).map(|n| format!("exchanger-number-{n}.far.big.test.")).collect();
    let mut exchangers: Vec<(u16, &str)> = others.iter().map(|name| (20, name.as_str())).collect();
    exchangers.push((10, "best.big.test."));
    daemon.names.mail("big.test", &exchangers);
    daemon.names.host("best.big.test", "127.0.0.2");
    _ = daemon.client().deliver("me@here.test", &["you@big.test"], "Subject: far\r\n\r\nbody\r\n");
    let line = daemon.wait_for_log("to=<you@big.test>");
    assert!(line.contains("relay=best.big.test[127.0.0.2]:") && line.contains("status=sent"), "{line}");
    assert_eq!(server.wait(1).len(), 1);
    assert_eq!((daemon.names.truncated(), daemon.names.asked_by_tcp()), (1, 1));
}

/// Mail to `you@far.test` by way of a relay on loopback; its line in the log.
fn relayed(daemon: &Daemon) -> String {
    let reply = daemon.client().deliver("me@here.test", &["you@far.test"], "Subject: far\r\n\r\nbody\r\n");
    assert!(reply.starts_with("250 "), "{reply}");
    daemon.wait_for_log("to=<you@far.test>")
}

/// disable_dns_lookups and smtp_host_lookup = native: getaddrinfo(3) finds what is in the hosts file or in DNS.
#[test]
fn a_host_is_found_as_the_system_finds_it() {
    let server = Server::start();
    let port = server.address.port();
    for lines in ["disable_dns_lookups = yes", "smtp_host_lookup = native"] {
        let lines = format!("{lines}\nrelayhost = [relay.test]:{port}\nmaximal_queue_lifetime = 1d");
        let daemon = Daemon::start("native-lookup", &lines);
        daemon.names.host("relay.test", "127.0.0.1");
        let line = relayed(&daemon);
        assert!(line.contains("relay=relay.test[127.0.0.1]:") && line.contains("status=sent"), "{line}");

        // This one is in the hosts file, and the name server has never heard of it.
        let lines_listed = lines.replace("[relay.test]", "[listed.test]");
        let mut daemon = Daemon::prepare("native-listed", &lines_listed, "");
        daemon.own_hosts("127.0.0.1 listed.test\n");
        daemon.run();
        let line = relayed(&daemon);
        assert!(line.contains("relay=listed.test[127.0.0.1]:") && line.contains("status=sent"), "{line}");

        let daemon = Daemon::start("native-fails", &lines);
        daemon.names.line("relay.test A SERVFAIL");
        let line = relayed(&daemon);
        assert!(line.contains("dsn=4.4.3") && line.contains("status=deferred"), "{line}");
    }
}

/// 203.0.113.0/24 is for documentation (RFC 5737): no host has such an address, and to connect from it can not work.
#[test]
fn mail_leaves_from_the_address_that_is_configured_or_from_another_with_a_warning_or_not_at_all() {
    let server = Server::start();
    let start = |name: &str, lines: &str| {
        Daemon::start(name, &format!("{lines}\nrelayhost = [127.0.0.1]:{}", server.address.port()))
    };
    let warning = "warning: bind 203.0.113.7: Cannot assign requested address";
    for lines in ["smtp_bind_address = 203.0.113.7", "inet_interfaces = 203.0.113.7"] {
        let daemon = start("unbound", lines);
        let line = relayed(&daemon);
        assert!(line.contains("status=sent"), "{line}");
        assert!(daemon.log().contains(warning), "{lines}: {}", daemon.log());
    }
    let daemon = start("any-address", "inet_interfaces = 203.0.113.7\nsmtp_bind_address = 0.0.0.0");
    let line = relayed(&daemon);
    assert!(line.contains("status=sent") && !daemon.log().contains(warning), "{}", daemon.log());
    let enforced = "smtp_bind_address = 203.0.113.7\nsmtp_bind_address_enforce = yes";
    let daemon = start("must-bind", enforced);
    let line = relayed(&daemon);
    assert!(line.contains("dsn=4.4.0") && line.contains("status=deferred"), "{line}");
    assert!(daemon.log().contains(warning), "{}", daemon.log());
    let daemon = start("bound", "smtp_bind_address = 127.0.0.9\nsmtp_bind_address_enforce = yes");
    let line = relayed(&daemon);
    assert!(line.contains("status=sent"), "{line}");
}

/// soft_bounce for what a server refuses: the mail stays, and nobody is told that it failed.
#[test]
fn with_soft_bounce_what_a_server_refuses_stays_in_the_queue() {
    let server = Server::scripted(|line, _| match line.starts_with("RCPT") {
        true => Answer::Say("550 5.1.1 nobody here\r\n".to_owned()),
        false => Answer::Usual,
    });
    let relay = format!("relayhost = [127.0.0.1]:{}", server.address.port());
    let soft = Daemon::start("soft-bounce", &format!("soft_bounce = yes\n{relay}"));
    let line = relayed(&soft);
    assert!(line.contains("dsn=4.1.1, status=SOFTBOUNCE (host "), "{line}");
    let listed = wait_for("the mail to be put off", || {
        let listed = String::from_utf8(soft.command(&["mailq"]).stdout).unwrap();
        listed.contains("nobody here").then_some(listed)
    });
    assert!(listed.contains("you@far.test"), "{listed}");
    assert_eq!(soft.delivered("me").len(), 0);

    let hard = Daemon::start("hard-bounce", &relay);
    let line = relayed(&hard);
    assert!(line.contains("dsn=5.1.1, status=bounced (host "), "{line}");
    assert_eq!(hard.wait_for_mail("me", 1).len(), 1);
    hard.wait_until_the_queue_is_empty();
}

/// parent_domain_matches_subdomains for transport_maps: `far.test` stands for those below it, else `.far.test` does.
#[test]
fn those_below_a_domain_are_found_in_transport_maps_by_its_name_or_by_its_name_with_a_dot() {
    let tables = "transport_maps = inline:{{far.test = discard:bare}, {.far.test = discard:dotted}}";
    for (lines, told) in [
        ("", "dotted"),
        ("parent_domain_matches_subdomains = relay_domains, smtpd_access_maps", "dotted"),
        ("parent_domain_matches_subdomains = transport_maps", "bare"),
    ] {
        let daemon = Daemon::start("transport-parents", &format!("{tables}\n{lines}"));
        let to = ["you@far.test", "you@sub.far.test"];
        _ = daemon.client().deliver("me@here.test", &to, "Subject: far\r\n\r\nbody\r\n");
        for (to, told) in [(to[0], "bare"), (to[1], told)] {
            let line = daemon.wait_for_log(&format!("to=<{to}>"));
            assert!(line.ends_with(&format!("status=sent ({told})")), "{lines}: {line}");
        }
    }
}

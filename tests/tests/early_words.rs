//! Row S4 of the attacks: a client that speaks before the greeting, while its name is still being looked up.

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};
use postrider_tests::PATIENCE;
use postrider_tests::daemon::Daemon;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

/// A name server that answers when it is told to, and then that there is no such name.
struct Slow {
    socket: UdpSocket,
    query: Vec<u8>,
    from: SocketAddr,
}

impl Slow {
    /// Waits for a question.
    fn asked(socket: &UdpSocket) -> Self {
        let mut query = vec![0; 512];
        let (length, from) =
            socket.recv_from(&mut query).expect("the daemon asks for the name of its client");
        query.truncate(length);
        Self { socket: socket.try_clone().expect("a socket"), query, from }
    }

    fn answer(mut self) {
        // RFC 1035 4.1.1: a response, recursion available, NXDOMAIN; the question stays as it was.
        self.query[2] |= 0x80;
        self.query[3] = 0x83;
        self.socket.send_to(&self.query, self.from).expect("the daemon listens");
    }
}

/// A client at an address that has no name; 127.0.0.1 always has one.
fn connect(port: u16) -> TcpStream {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).expect("a socket");
    bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 2, 0)).expect("all of 127.0.0.0/8 is ours");
    socket::connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).expect("the daemon listens");
    TcpStream::from(socket)
}

/// What a client reads that says this while the server does not know its name yet.
fn greeting_of(words: &[u8], lines: &str) -> String {
    let names = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    names.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    let server = names.local_addr().expect("it is bound");
    let mut daemon = Daemon::prepare("early-words", &format!("dns_servers = {server}\n{lines}"), "");
    // The hosts file knows nobody, so the name server is asked.
    daemon.own_hosts("\n");
    daemon.run();
    let mut client = connect(daemon.port);
    client.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    let question = Slow::asked(&names);
    client.write_all(words).expect("the daemon is there");
    question.answer();
    let mut said = String::new();
    BufReader::new(client).read_line(&mut said).expect("the daemon answers");
    said
}

#[test]
fn who_speaks_before_the_greeting_is_not_greeted() {
    let refused = "554 5.5.0 Error: SMTP protocol synchronization\r\n";
    assert_eq!(greeting_of(b"EHLO early.test\r\n", ""), refused);
    // Half a command is early, too.
    assert_eq!(greeting_of(b"E", ""), refused);
}

#[test]
fn who_waits_is_greeted_and_so_is_everybody_where_pipelining_is_allowed() {
    assert!(greeting_of(b"", "").starts_with("220 mail.here.test "));
    let allowed = "smtpd_forbid_unauth_pipelining = no";
    assert!(greeting_of(b"EHLO early.test\r\n", allowed).starts_with("220 mail.here.test "));
}

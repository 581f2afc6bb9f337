//! Connections and datagrams between two machines.

use super::*;

const HERE: NodeId = NodeId(0);
const THERE: NodeId = NodeId(1);

fn addresses() -> (IpAddr, SocketAddr) {
    (IpAddr::from([192, 0, 2, 1]), SocketAddr::from(([192, 0, 2, 2], 25)))
}

fn network() -> Network {
    let mut network = Network::new(7);
    let (here, there) = addresses();
    network.machine(HERE, &[here]);
    network.machine(THERE, &[there.ip()]);
    network.listen(THERE, 25);
    network
}

/// Lets everything happen in order of time; what arrived where.
fn run(network: &mut Network) -> Vec<(NodeId, Arrival)> {
    let mut queue: BTreeMap<(Instant, usize), NetEvent> = BTreeMap::new();
    let mut seen = Vec::new();
    let mut count = 0;
    loop {
        for (at, event) in network.planned.drain(..) {
            queue.insert((at, count), event);
            count += 1;
        }
        let Some(((at, _), event)) = queue.pop_first() else { return seen };
        seen.extend(network.happen(at, event));
    }
}

fn octets(seen: &[(NodeId, Arrival)], socket: Socket) -> Vec<u8> {
    let of = |arrival: &Arrival| match arrival {
        Arrival::Octets(at, octets) if *at == socket => octets.clone(),
        _ => Vec::new(),
    };
    seen.iter().flat_map(|(_, arrival)| of(arrival)).collect()
}

#[test]
fn octets_arrive_in_order_however_they_are_cut_and_lost() {
    let mut network = network();
    network.cutting = Cutting::Pieces(3);
    network.usual.loss = 300;
    let (here, there) = addresses();
    let socket = network.connect(Instant(0), HERE, here, there);
    run(&mut network);
    network.send(Instant(0), socket, b"MAIL FROM:<a@example>\r\n", true);
    network.finish(Instant(0), socket);
    let seen = run(&mut network);
    assert_eq!(octets(&seen, socket.peer()), b"MAIL FROM:<a@example>\r\n");
    assert_eq!(seen.last(), Some(&(THERE, Arrival::End(socket.peer()))));
    network.send(Instant(0), socket.peer(), b"250 ok\r\n", true);
    assert_eq!(octets(&run(&mut network), socket), b"250 ok\r\n", "half-closed, still heard");
}

#[test]
fn a_long_write_is_cut_small_at_its_beginning_and_at_its_end() {
    let mut network = network();
    network.cutting = Cutting::Pieces(1);
    let (here, there) = addresses();
    let socket = network.connect(Instant(0), HERE, here, there);
    run(&mut network);
    network.send(Instant(0), socket, &[b'x'; 20_024], true);
    let lengths: Vec<usize> = run(&mut network)
        .iter()
        .filter_map(
            |(_, arrival)| if let Arrival::Octets(_, octets) = arrival { Some(octets.len()) } else { None },
        )
        .collect();
    assert_eq!(lengths, [vec![1; 16], vec![16_384, 3_616], vec![1; 8]].concat());
}

#[test]
fn where_some_connections_are_cut_it_is_one_of_four() {
    let mut network = network();
    network.cutting = Cutting::Some(1);
    let (here, there) = addresses();
    let pieces: Vec<usize> = (0..8)
        .map(|_| {
            let socket = network.connect(Instant(0), HERE, here, there);
            run(&mut network);
            network.send(Instant(0), socket, b"QUIT\r\n", true);
            let seen = run(&mut network);
            seen.iter().filter(|(_, arrival)| matches!(arrival, Arrival::Octets(..))).count()
        })
        .collect();
    assert_eq!(pieces, [6, 1, 1, 1, 6, 1, 1, 1]);
}

#[test]
fn a_dead_program_refuses_and_a_dead_machine_is_silent() {
    let (here, there) = addresses();
    let mut killed = network();
    killed.down(Instant(0), THERE, false);
    let socket = killed.connect(Instant(0), HERE, here, there);
    assert_eq!(run(&mut killed), [(HERE, Arrival::NotConnected(socket, true))]);
    let mut off = network();
    off.down(Instant(0), THERE, true);
    let socket = off.connect(Instant(0), HERE, here, there);
    assert_eq!(run(&mut off), [(HERE, Arrival::NotConnected(socket, false))]);
}

#[test]
fn a_connect_whose_answer_never_comes_back_ends_on_both_sides() {
    let (here, there) = addresses();
    let mut network = network();
    let socket = network.connect(Instant(0), HERE, here, there);
    let (at, event) = network.planned.pop().expect("it is on its way");
    let accepted = network.happen(at, event).expect("it arrives");
    assert!(matches!(accepted, (THERE, Arrival::Accepted { .. })), "{accepted:?}");
    network.cut(THERE, HERE);
    network.send(at, socket.peer(), b"220 hello\r\n", false);
    let both = [(HERE, Arrival::NotConnected(socket, false)), (THERE, Arrival::Gone(socket.peer(), false))];
    assert_eq!(run(&mut network), both);
}

#[test]
fn a_kill_resets_and_a_power_loss_is_noticed_by_sending() {
    let (here, there) = addresses();
    let mut network = network();
    let first = network.connect(Instant(0), HERE, here, there);
    run(&mut network);
    network.down(Instant(0), THERE, false);
    assert_eq!(run(&mut network), [(HERE, Arrival::Gone(first, true))]);
    network.up(THERE);
    network.listen(THERE, 25);
    let second = network.connect(Instant(0), HERE, here, there);
    run(&mut network);
    network.down(Instant(0), THERE, true);
    assert_eq!(run(&mut network), []);
    network.send(Instant(0), second, b"QUIT\r\n", true);
    assert_eq!(run(&mut network), [(HERE, Arrival::Gone(second, false))]);
}

#[test]
fn a_partition_delays_and_then_ends_a_connection() {
    let (here, there) = addresses();
    let mut network = network();
    let socket = network.connect(Instant(0), HERE, here, there);
    run(&mut network);
    network.cut(HERE, THERE);
    network.send(Instant(0), socket, b"NOOP\r\n", true);
    let seen = run(&mut network);
    assert_eq!(seen.last(), Some(&(HERE, Arrival::Gone(socket, false))));
}

#[test]
fn a_datagram_to_a_port_that_is_not_bound_comes_back_as_unreachable() {
    let (here, there) = addresses();
    let mut network = network();
    let port = network.bind(HERE, 0);
    network.datagram(Instant(0), SocketAddr::new(here, port), there, vec![1]);
    assert_eq!(run(&mut network), [(HERE, Arrival::Unreachable(port))]);
}

#[test]
fn a_half_close_counts_once_and_only_where_somebody_hears_it() {
    let (here, there) = addresses();
    let mut network = network();
    let socket = network.connect(Instant(0), HERE, here, there);
    run(&mut network);
    assert!(network.is_whole(socket));
    network.finish(Instant(0), socket);
    network.finish(Instant(0), socket);
    assert_eq!(network.fired.count(Class::HalfClose), 1);
    let second = network.connect(Instant(0), HERE, here, there);
    run(&mut network);
    network.abort(Instant(0), second.peer());
    run(&mut network);
    assert!(!network.is_whole(second));
    network.finish(Instant(0), second);
    assert_eq!(network.fired.count(Class::HalfClose), 1);
}

#[test]
fn octets_drip_where_they_come_more_than_a_second_late_for_the_rate() {
    let (here, there) = addresses();
    let mut network = network();
    network.link(HERE, THERE, Link { rate: 1_000, ..Link::default() });
    let socket = network.connect(Instant(0), HERE, here, there);
    run(&mut network);
    network.send(Instant(0), socket, &[b'x'; 700], true);
    assert_eq!(network.fired.count(Class::Drip), 0, "less than a second");
    network.send(Instant(0), socket, &[b'x'; 700], true);
    assert_eq!(network.fired.count(Class::Drip), 1, "behind the others");
    run(&mut network);
}

#[test]
fn what_is_severed_stays_so_and_a_path_that_stays_is_no_better_than_it_was() {
    let (here, there) = addresses();
    let mut network = network();
    let lossy = Link { loss: 900, ..Link::default() };
    network.usual = lossy;
    network.heal();
    network.stay(lossy);
    network.sever(HERE, THERE);
    network.mend(HERE, THERE);
    network.heal();
    network.stay(lossy);
    let socket = network.connect(Instant(0), HERE, here, there);
    assert_eq!(run(&mut network), [(HERE, Arrival::NotConnected(socket, false))]);
    let fired = |class| network.fired.count(class);
    assert!(fired(Class::LastingCut) > 0 && fired(Class::LastingCut) == fired(Class::CutOneWay));
    assert!(fired(Class::LastingPath) > 0 && fired(Class::LastingPath) <= fired(Class::Loss));
}

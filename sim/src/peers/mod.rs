//! The rest of the mail world: servers that take mail in their own manner, and clients that hand it in.
//!
//! Written plainly and from the RFCs, without a line of core, so that core's mistakes are not theirs.

mod client;
mod drops;
mod manners;
mod reading;
mod server;

pub use client::{Client, Habits, Plan};
pub use manners::{Manners, Tls};
pub use server::Server;

/// Takes the first whole line out of a buffer, without its end.
fn take_line(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.windows(2).position(|window| window == b"\r\n")?;
    let mut line: Vec<u8> = buffer.drain(..end + 2).collect();
    line.truncate(end);
    Some(line)
}

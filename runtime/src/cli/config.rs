//! `postrider config`, `postconf`: what holds, what is set, what would hold.

use super::{Failure, Setup, print};
use postrider_core::params::Printing;

const USAGE: &str = "usage: config [-c DIR] [-d|-n] [-h] [-x] [NAME…]";

/// Runs the command.
///
/// # Errors
/// A name that is not known, or wrong options.
pub(super) fn run(arguments: &[String], setup: &Setup) -> Result<(), Failure> {
    let mut which = ' ';
    let mut values_only = false;
    let mut printing = Printing::Plain;
    let mut names = Vec::new();
    for argument in arguments {
        match argument.strip_prefix('-') {
            None => names.push(argument.as_str()),
            Some(letters) => {
                for letter in letters.chars() {
                    match letter {
                        'd' | 'n' => which = letter,
                        'h' => values_only = true,
                        'x' => printing = Printing::Expanded,
                        'f' | 'v' => {}
                        _ => return Err(Failure::new(64, format!("unknown option -{letter}; {USAGE}"))),
                    }
                }
            }
        }
    }
    if names.is_empty() {
        let lines = match which {
            'd' => setup.config.defaults(printing),
            'n' => setup.config.set(printing),
            _ => setup.config.all(printing),
        };
        return show(&lines, values_only);
    }
    let mut unknown = Vec::new();
    let mut lines = Vec::new();
    for name in names {
        let line = match which {
            'd' => setup.config.default_value(name, printing),
            _ => setup.config.value(name, printing),
        };
        match line {
            Some(line) => lines.push(line),
            None => unknown.push(name),
        }
    }
    show(&lines, values_only)?;
    match unknown.first() {
        None => Ok(()),
        Some(name) => Err(Failure::new(1, format!("warning: {name}: unknown parameter"))),
    }
}

fn show(lines: &[String], values_only: bool) -> Result<(), Failure> {
    let mut text = String::new();
    for line in lines {
        let shown =
            if values_only { line.split_once('=').map_or("", |(_, value)| value.trim_start()) } else { line };
        text.push_str(shown);
        text.push('\n');
    }
    print(&text)
}

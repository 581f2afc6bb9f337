//! TABLE of parameters: final delivery: local(8), virtual(8), pipe(8).

use super::*;

rows! { LOCAL:
    /// Aliases of local users.
    "alias_maps" TABLES = "hash:/etc/aliases, nis:mail.aliases", Local, Works;
    "allow_mail_to_commands" words(&["alias", "forward", "include"]) = "alias, forward", Local, NotYet;
    "allow_mail_to_files" words(&["alias", "forward", "include"]) = "alias, forward", Local, NotYet;
    /// Tell users at their terminals about new mail.
    "biff" FLAG = "yes", Local, NotYet;
    "command_expansion_filter" TEXT = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", Local, NotYet;
    /// How long a command that takes a delivery may run.
    "command_time_limit" time(Unit::Seconds, 1, INT_MAX) = "1000s", Local, NotYet;
    "execution_directory_expansion_filter" TEXT = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", Local, NotYet;
    "expand_owner_alias" FLAG = "no", Local, Works;
    "export_environment" LIST = "TZ MAIL_CONFIG LANG", Local, NotYet;
    /// The transport of local recipients that nothing else knows.
    "fallback_transport" TEXT = "", Local, Works;
    "fallback_transport_maps" TABLES = "", Local, Works;
    "forward_expansion_filter" TEXT = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", Local, Works;
    /// Where users' forward files are.
    "forward_path" RAW = "$home/.forward${recipient_delimiter}${extension}, $home/.forward", Local, Works;
    "frozen_delivered_to" FLAG = "yes", Local, NotYet;
    /// A mailbox below the user's home: a file, or a Maildir when it ends in `/`.
    "home_mailbox" TEXT = "", Local, Works;
    "local_command_shell" TEXT = "", Local, NotYet;
    "local_delivery_status_filter" TABLES = "$default_delivery_status_filter", Local, NotYet;
    /// Deliveries at a time to one local user.
    "local_destination_concurrency_limit" COUNT = "2", Local, NotYet;
    /// Recipients of one local delivery.
    "local_destination_recipient_limit" COUNT = "1", Local, NotYet;
    /// Who gets mail for unknown local users.
    "luser_relay" RAW = "", Local, Works;
    /// A command that takes the mail of local users.
    "mailbox_command" RAW = "", Local, Works;
    "mailbox_command_maps" TABLES = "", Local, Works;
    "mailbox_delivery_lock" words(&["fcntl", "flock", "dotlock"]) = "fcntl, dotlock", Local, NotYet;
    /// Octets of a mailbox file; 0 for no limit.
    "mailbox_size_limit" number(0, SIZE_MAX) = "51200000", Local, Works;
    /// The transport of all local users.
    "mailbox_transport" TEXT = "", Local, Works;
    "mailbox_transport_maps" TABLES = "", Local, Works;
    /// Give the local parts `owner-name` and `name-request` their special meaning.
    "owner_request_special" FLAG = "yes", Local, Works;
    "pipe_delivery_status_filter" TABLES = "$default_delivery_status_filter", Pipe, NotYet;
    "prepend_delivered_header" words(&["command", "file", "forward"]) = "command, file, forward", Local, NotYet;
    "reset_owner_alias" FLAG = "no", Local, NotYet;
    "stale_lock_time" SECONDS = "500s", Local, NotYet;
    "strict_mailbox_ownership" FLAG = "yes", Local, Works;
    "sun_mailtool_compatibility" FLAG = "no", Local, Moot;
    "virtual_delivery_status_filter" TABLES = "$default_delivery_status_filter", Virtual, NotYet;
    /// The group of a virtual mailbox.
    "virtual_gid_maps" TABLES = "", Virtual, Works;
    /// What is put before the paths of virtual_mailbox_maps.
    "virtual_mailbox_base" TEXT = "", Virtual, Works;
    /// Octets of a virtual mailbox file; 0 for no limit.
    "virtual_mailbox_limit" number(0, SIZE_MAX) = "51200000", Virtual, Works;
    "virtual_mailbox_lock" words(&["fcntl", "flock", "dotlock"]) = "fcntl, dotlock", Virtual, NotYet;
    /// The least user number that virtual_uid_maps may give.
    "virtual_minimum_uid" COUNT = "100", Virtual, Works;
    /// The user of a virtual mailbox.
    "virtual_uid_maps" TABLES = "", Virtual, Works;
}

//! TABLE of parameters: final delivery: local(8), virtual(8), pipe(8).

use super::*;

rows! { LOCAL:
    /// Aliases of local users.
    "alias_maps" TABLES = "hash:/etc/aliases", Local, Works;
    /// Where an address may be a command: in aliases, forward files, include files.
    "allow_mail_to_commands" words(&["alias", "forward", "include"]) = "alias, forward", Local, Works;
    /// Where an address may be a file: in aliases, forward files, include files.
    "allow_mail_to_files" words(&["alias", "forward", "include"]) = "alias, forward", Local, Works;
    /// Tell users at their terminals about new mail.
    "biff" FLAG = "yes", Local, NotYet;
    /// Characters that may stand in the values of `$name` in mailbox_command.
    "command_expansion_filter" TEXT = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", Local, NotYet;
    /// How long a command that takes a delivery may run.
    "command_time_limit" time(Unit::Seconds, 1, INT_MAX) = "1000s", Local, NotYet;
    /// Characters that may stand in the values of `$name` in command_execution_directory.
    "execution_directory_expansion_filter" TEXT = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", Local, NotYet;
    /// Use the members of `owner-name`, not that address itself, as the sender of mail to a list.
    "expand_owner_alias" FLAG = "no", Local, Works;
    /// Variables that commands get.
    "export_environment" LIST = "TZ MAIL_CONFIG LANG", Local, NotYet;
    /// The transport of local recipients that nothing else knows.
    "fallback_transport" TEXT = "", Local, Works;
    /// fallback_transport by recipient.
    "fallback_transport_maps" TABLES = "", Local, Works;
    /// Characters that may stand in the values of `$name` in forward_path.
    "forward_expansion_filter" TEXT = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", Local, Works;
    /// Where users' forward files are.
    "forward_path" RAW = "$home/.forward${recipient_delimiter}${extension}, $home/.forward", Local, Works;
    /// Take the Delivered-To address when delivery begins, and keep it through all forwarding.
    "frozen_delivered_to" FLAG = "yes", Local, NotYet;
    /// A mailbox below the user's home: a file, or a Maildir when it ends in `/`.
    "home_mailbox" TEXT = "", Local, Works;
    /// The shell of commands that need one.
    "local_command_shell" TEXT = "", Local, NotYet;
    /// Rules that change the status of local deliveries.
    "local_delivery_status_filter" TABLES = "$default_delivery_status_filter", Local, NotYet;
    /// Deliveries at a time to one local user.
    "local_destination_concurrency_limit" COUNT = "2", Local, Works;
    /// Recipients of one local delivery.
    "local_destination_recipient_limit" COUNT = "1", Local, Works;
    /// Who gets mail for unknown local users.
    "luser_relay" RAW = "", Local, Works;
    /// A command that takes the mail of local users. Delivery to commands does not work yet: their mail waits in the queue.
    "mailbox_command" RAW = "", Local, NotYet;
    /// mailbox_command by recipient; their mail waits as well.
    "mailbox_command_maps" TABLES = "", Local, NotYet;
    /// How mailbox files are locked.
    "mailbox_delivery_lock" words(&["fcntl", "flock", "dotlock"]) = "fcntl, dotlock", Local, Works;
    /// Octets of a mailbox file; 0 for no limit.
    "mailbox_size_limit" number(0, SIZE_MAX) = "51200000", Local, Works;
    /// The transport of all local users.
    "mailbox_transport" TEXT = "", Local, Works;
    /// mailbox_transport by recipient.
    "mailbox_transport_maps" TABLES = "", Local, Works;
    /// Give the local parts `owner-name` and `name-request` their special meaning.
    "owner_request_special" FLAG = "yes", Local, Works;
    /// Rules that change the status of deliveries by pipe.
    "pipe_delivery_status_filter" TABLES = "$default_delivery_status_filter", Pipe, NotYet;
    /// When a Delivered-To field is added: to commands, files, forwarded mail.
    "prepend_delivered_header" words(&["command", "file", "forward"]) = "command, file, forward", Local, Works;
    /// Take the owner of an alias anew for each level of aliases.
    "reset_owner_alias" FLAG = "no", Local, NotYet;
    /// After how long a lock file counts as left behind.
    "stale_lock_time" SECONDS = "500s", Local, Works;
    /// Deliver only to mailbox files that the user owns.
    "strict_mailbox_ownership" FLAG = "yes", Local, Works;
    "sun_mailtool_compatibility" FLAG = "no", Local, Moot;
    /// Rules that change the status of virtual deliveries.
    "virtual_delivery_status_filter" TABLES = "$default_delivery_status_filter", Virtual, NotYet;
    /// The group of a virtual mailbox.
    "virtual_gid_maps" TABLES = "", Virtual, Works;
    /// What is put before the paths of virtual_mailbox_maps.
    "virtual_mailbox_base" TEXT = "", Virtual, Works;
    /// Octets of a virtual mailbox file; 0 for no limit.
    "virtual_mailbox_limit" number(0, SIZE_MAX) = "51200000", Virtual, Works;
    /// How virtual mailbox files are locked.
    "virtual_mailbox_lock" words(&["fcntl", "flock", "dotlock"]) = "fcntl, dotlock", Virtual, Works;
    /// The least user number that virtual_uid_maps may give.
    "virtual_minimum_uid" COUNT = "100", Virtual, Works;
    /// The user of a virtual mailbox.
    "virtual_uid_maps" TABLES = "", Virtual, Works;
}

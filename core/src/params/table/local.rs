//! TABLE of parameters: final delivery: local(8), virtual(8), pipe(8).

use super::*;

rows! { LOCAL:
    "alias_maps" TABLES = "hash:/etc/aliases, nis:mail.aliases", Local, NotYet;
    "allow_mail_to_commands" words(&["alias", "forward", "include"]) = "alias, forward", Local, NotYet;
    "allow_mail_to_files" words(&["alias", "forward", "include"]) = "alias, forward", Local, NotYet;
    "biff" FLAG = "yes", Local, NotYet;
    "command_expansion_filter" TEXT = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", Local, NotYet;
    "command_time_limit" time(Unit::Seconds, 1, INT_MAX) = "1000s", Local, NotYet;
    "execution_directory_expansion_filter" TEXT = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", Local, NotYet;
    "expand_owner_alias" FLAG = "no", Local, NotYet;
    "export_environment" LIST = "TZ MAIL_CONFIG LANG", Local, NotYet;
    "fallback_transport" TEXT = "", Local, NotYet;
    "fallback_transport_maps" TABLES = "", Local, NotYet;
    "forward_expansion_filter" TEXT = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", Local, NotYet;
    "forward_path" RAW = "$home/.forward${recipient_delimiter}${extension}, $home/.forward", Local, NotYet;
    "frozen_delivered_to" FLAG = "yes", Local, NotYet;
    "home_mailbox" TEXT = "", Local, NotYet;
    "local_command_shell" TEXT = "", Local, NotYet;
    "local_delivery_status_filter" TABLES = "$default_delivery_status_filter", Local, NotYet;
    "local_destination_concurrency_limit" COUNT = "2", Local, NotYet;
    "local_destination_recipient_limit" COUNT = "1", Local, NotYet;
    "luser_relay" RAW = "", Local, NotYet;
    "mailbox_command" RAW = "", Local, NotYet;
    "mailbox_command_maps" TABLES = "", Local, NotYet;
    "mailbox_delivery_lock" words(&["fcntl", "flock", "dotlock"]) = "fcntl, dotlock", Local, NotYet;
    "mailbox_size_limit" number(0, SIZE_MAX) = "51200000", Local, NotYet;
    "mailbox_transport" TEXT = "", Local, NotYet;
    "mailbox_transport_maps" TABLES = "", Local, NotYet;
    "owner_request_special" FLAG = "yes", Local, NotYet;
    "pipe_delivery_status_filter" TABLES = "$default_delivery_status_filter", Pipe, NotYet;
    "prepend_delivered_header" words(&["command", "file", "forward"]) = "command, file, forward", Local, NotYet;
    "reset_owner_alias" FLAG = "no", Local, NotYet;
    "stale_lock_time" SECONDS = "500s", Local, NotYet;
    "strict_mailbox_ownership" FLAG = "yes", Local, NotYet;
    "sun_mailtool_compatibility" FLAG = "no", Local, Moot;
    "virtual_delivery_status_filter" TABLES = "$default_delivery_status_filter", Virtual, NotYet;
    "virtual_gid_maps" TABLES = "", Virtual, NotYet;
    "virtual_mailbox_base" TEXT = "", Virtual, NotYet;
    "virtual_mailbox_limit" number(0, SIZE_MAX) = "51200000", Virtual, NotYet;
    "virtual_mailbox_lock" words(&["fcntl", "flock", "dotlock"]) = "fcntl, dotlock", Virtual, NotYet;
    "virtual_minimum_uid" COUNT = "100", Virtual, NotYet;
    "virtual_uid_maps" TABLES = "", Virtual, NotYet;
}

//! postmap, postalias and newaliases: tables are asked, and checked.

use super::*;

#[test]
fn postmap_answers_as_the_daemon_would() {
    let daemon = Daemon::prepare("postmap", "", "");
    let file = |name: &str, text: &str| -> String {
        let path = daemon.path().join(name);
        std::fs::write(&path, text).expect("a scratch folder");
        path.display().to_string()
    };
    let table = file("table", "a@b\thello  world\n# a comment\nlong one,\n  two\n");
    let rules = file("rules", "/^(.*)@x\\.test$/  got $1\n");
    let aliases = file("aliases", "root: me, you\nlist: \"a b\"@x.test\n");
    let query =
        |tool: &str, key: &str, tables: &[&str]| daemon.command(&[&[tool, "-q", key], tables].concat());
    for kind in ["texthash", "hash", "lmdb"] {
        let name = format!("{kind}:{table}");
        assert_eq!(done(query("postmap", "A@B", &[&name]), 0).0, "hello  world\n");
        assert_eq!(done(query("postmap", "nobody", &[&name]), 1), Default::default());
    }
    assert_eq!(done(query("postmap", "long", &[&table]), 0).0, "one,  two\n");
    let (regexp, texthash) = (format!("regexp:{rules}"), format!("texthash:{table}"));
    assert_eq!(done(query("postmap", "me@x.test", &[&regexp]), 0).0, "got me\n");
    assert_eq!(done(query("postmap", "a@b", &[&regexp, &texthash]), 0).0, "hello  world\n");
    assert_eq!(done(query("postalias", "root", &[&format!("hash:{aliases}")]), 0).0, "me, you\n");
    let (_, error) = done(query("postmap", "x", &["regexp:/nowhere/at/all"]), 1);
    assert!(error.contains("open /nowhere/at/all: No such file or directory"), "{error}");
    let mut command = Command::new(binary("postrider"));
    command.args(["postmap", "-c"]).arg(daemon.config()).args(["-q", "-", &texthash]);
    assert_eq!(run_with(&mut command, "a@b\nnobody\nlong\n", 0).0, "a@b\thello  world\nlong\tone,  two\n");
}

#[test]
fn commands_about_tables_need_no_master_cf() {
    let daemon = Daemon::prepare("postmap-alone", "alias_database = inline:{me=you}\n", "");
    std::fs::remove_file(daemon.config().join("master.cf")).expect("it was written");
    let table = "inline:{a=b}";
    assert_eq!(done(daemon.command(&["postmap", "-q", "a", table]), 0).0, "b\n");
    assert_eq!(done(daemon.command(&["map", "-q", "a", table]), 0).0, "b\n");
    assert_eq!(done(daemon.command(&["postalias", "-q", "a", table]), 0).0, "b\n");
    done(daemon.command(&["newaliases"]), 0);
    // Others do, and without main.cf nothing goes.
    assert!(done(daemon.command(&["queue", "list"]), 78).1.contains("master.cf: No such file"));
    std::fs::remove_file(daemon.config().join("main.cf")).expect("it was written");
    let (_, error) = done(daemon.command(&["postmap", "-q", "a", table]), 78);
    assert!(
        error.contains("main.cf: No such file or directory; name the directory of main.cf with"),
        "{error}"
    );
}

#[test]
fn where_postfix_compiles_a_table_its_text_is_checked() {
    let daemon = Daemon::prepare("postmap-checks", "", "");
    let file = |name: &str, text: &str| -> String {
        let path = daemon.path().join(name);
        std::fs::write(&path, text).expect("a scratch folder");
        path.display().to_string()
    };
    let table = file("table", "A@b one\nonly-a-key\na@B two\nx: y\n");
    let aliases = file("aliases", "root: me\nnobody\n");
    let run = |words: &[&str], status| done(daemon.command(words), status);
    let (told, warned) = run(&["postmap", &table], 0);
    assert_eq!(
        told,
        format!("postmap: hash:{table}: 2 entries; its text is used as it is, no indexed file is needed\n")
    );
    assert!(
        warned.contains(&format!("postmap: warning: {table}, line 2: \"only-a-key\": expected format")),
        "{warned}"
    );
    assert!(warned.contains(&format!("{table}, line 3: duplicate entry: \"a@b\"; remove one")), "{warned}");
    assert!(warned.contains(&format!("{table}, line 4: record is in \"key: value\" format")), "{warned}");
    // -w says nothing of duplicates; -r would make the last one count, which does not happen here.
    assert!(!run(&["postmap", "-w", &table], 0).1.contains("duplicate"));
    assert!(
        run(&["postmap", "-r", &table], 1)
            .1
            .contains("line 3: duplicate entry: \"a@b\": the first one counts")
    );
    assert!(run(&["postalias", &aliases], 0).1.contains("line 2: need name:value pair"));
    // A dump is in the order of keys.
    assert_eq!(run(&["postmap", "-s", &table], 0).0, "a@b\tone\nx:\ty\n");
    assert_eq!(run(&["postalias", "-s", &aliases], 0).0, "root:\tme\n");
    assert!(run(&["postmap", "-s", "static:x"], 1).1.contains("no list of keys to dump"));
    // What asks for what is done anyhow is taken; what would promise too much is not.
    assert_eq!(run(&["postmap", "-noNpuU", "-q", "a@b", &table], 0).0, "one\n");
    for (words, why) in [
        (["-d", "a@b"], "there is no indexed file to change: edit the text"),
        (["-i", "-w"], "there is no indexed file to change: edit the text"),
        (["-f", "-w"], "keys are always folded to lower case"),
        (["-h", "-w"], "not working yet"),
        (["-z", "-w"], "unknown option -z; usage: postmap"),
        (["-s", "-qa"], "specify only one of -s and -q"),
    ] {
        assert!(run(&["postmap", words[0], words[1], &table], 64).1.contains(why), "{words:?}");
    }
    assert!(run(&["postmap", "hsah:/x"], 1).1.contains("unknown table type \"hsah\"; there are hash"));
    assert!(run(&["postmap", "/nowhere"], 1).1.contains("fatal: open /nowhere: No such file or directory\n"));
}

#[test]
fn newaliases_checks_the_alias_database() {
    let daemon = Daemon::prepare("newaliases", "", "");
    let aliases = daemon.path().join("aliases");
    std::fs::write(&aliases, "root: me\nnobody\n").expect("a scratch folder");
    daemon.write_main_cf(&format!("alias_database = hash:{}", aliases.display()));
    let config = daemon.config().display().to_string();
    for words in [["newaliases", "-C", &config], ["sendmail", "-bi", &format!("-C{config}")]] {
        let output = Command::new(binary("postrider")).args(words).stdin(Stdio::null()).output();
        let (told, warned) = done(output.expect("the command runs"), 0);
        assert!(told.contains(": 1 entries; its text is used as it is"), "{told}");
        assert!(warned.contains("line 2: need name:value pair"), "{warned}");
    }
}

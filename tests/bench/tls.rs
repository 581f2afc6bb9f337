//! Clients under TLS, and the certificate that they trust.

use crate::clients::Talk;
use postrider_tests::daemon::owner;
use postrider_tests::{program, run};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// A certificate that signs itself.
pub(crate) struct Certificate {
    /// Lines of main.cf.
    pub(crate) lines: String,
    config: Arc<ClientConfig>,
}

/// Makes one.
///
/// # Panics
/// When openssl is missing.
#[must_use]
pub(crate) fn certificate(folder: &Path) -> Certificate {
    let (chain, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    run(Command::new(program("openssl", "openssl"))
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30".split(' '))
        .args(["-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&chain));
    let (uid, gid) = owner();
    std::os::unix::fs::chown(&key, Some(uid), Some(gid)).expect("we are root");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&chain).expect("openssl wrote it")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let lines = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}",
        chain.display(),
        key.display()
    );
    Certificate { lines, config: Arc::new(config) }
}

/// A session under TLS that has said EHLO.
#[must_use]
pub(crate) fn secured(certificate: &Certificate, port: u16) -> StreamOwned<ClientConnection, TcpStream> {
    let mut talk = Talk::connect(port).expect("the daemon greets");
    talk.say("EHLO client.test\r\n", '2').expect("the daemon answers EHLO");
    talk.say("STARTTLS\r\n", '2').expect("the daemon offers TLS");
    let name = ServerName::try_from("bench.test").expect("a name");
    let connection = ClientConnection::new(Arc::clone(&certificate.config), name).expect("a client");
    let mut talk = Talk::over(StreamOwned::new(connection, talk.into_inner()));
    talk.say("EHLO client.test\r\n", '2').expect("the daemon answers under TLS");
    talk.into_inner()
}

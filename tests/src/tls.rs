//! A client under TLS, and the certificate of the server that it talks to.

use crate::PATIENCE;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// Lines of main.cf: the server offers STARTTLS with the certificate of `corpus/tls`.
///
/// # Panics
/// When the folder cannot be written.
#[must_use]
pub fn server_lines(folder: &Path) -> String {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("corpus/tls");
    let (uid, gid) = crate::daemon::owner();
    for name in ["ed25519.cert.pem", "ed25519.key.pem"] {
        std::fs::copy(corpus.join(name), folder.join(name)).expect("a scratch folder");
        std::os::unix::fs::chown(folder.join(name), Some(uid), Some(gid)).expect("our own file");
    }
    let folder = folder.display();
    format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {folder}/ed25519.cert.pem\n\
         smtpd_tls_key_file = {folder}/ed25519.key.pem\n"
    )
}

/// Takes any certificate, as smtp(8) does at the level `may`.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A session; in the clear until [`Client::secure`].
pub struct Client {
    clear: Option<TcpStream>,
    secured: Option<StreamOwned<ClientConnection, TcpStream>>,
}

impl Client {
    /// Connects to a port of loopback, reads the greeting and says EHLO.
    ///
    /// # Panics
    /// When the server does not answer so.
    #[must_use]
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        stream.set_nodelay(true).expect("a socket takes an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
        let mut client = Self { clear: Some(stream), secured: None };
        assert!(client.reply().starts_with("220 "));
        assert!(client.say("EHLO client.test").contains("STARTTLS"));
        client
    }

    /// Says STARTTLS and, in the same segment, more; then shakes hands.
    ///
    /// # Panics
    /// When the server does not.
    #[must_use]
    pub fn secure(mut self, behind: &[u8]) -> Self {
        self.send(&[b"STARTTLS\r\n", behind].concat());
        let reply = self.reply();
        assert!(reply.starts_with("220 "), "{reply}");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring knows the versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        let name = ServerName::try_from("mail.here.test").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let stream = self.clear.take().expect("it was in the clear");
        let mut secured = StreamOwned::new(connection, stream);
        while secured.conn.is_handshaking() {
            secured.conn.complete_io(&mut secured.sock).expect("the server shakes hands");
        }
        self.secured = Some(secured);
        self
    }

    /// Writes octets as they are; under TLS in a record of their own.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn send(&mut self, octets: &[u8]) {
        self.try_send(octets).expect("the server reads");
    }

    /// The same to a server that may be gone.
    ///
    /// # Errors
    /// It is gone.
    pub fn try_send(&mut self, octets: &[u8]) -> std::io::Result<()> {
        match (&mut self.secured, &mut self.clear) {
            (Some(secured), _) => secured.write_all(octets).and_then(|()| secured.flush()),
            (None, Some(clear)) => clear.write_all(octets),
            (None, None) => Ok(()),
        }
    }

    fn octet(&mut self) -> Option<u8> {
        let mut octet = [0];
        let read = match (&mut self.secured, &mut self.clear) {
            (Some(secured), _) => secured.read(&mut octet),
            (None, Some(clear)) => clear.read(&mut octet),
            (None, None) => Ok(0),
        };
        (read.ok()? == 1).then_some(octet[0])
    }

    /// Reads a reply, all its lines; what there is of it at the end of the connection.
    pub fn reply(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\n") {
                let Some(octet) = self.octet() else { return text };
                line.push(octet);
            }
            text.push_str(&String::from_utf8_lossy(&line));
            if line.get(3) != Some(&b'-') {
                return text;
            }
        }
    }

    /// Says a command; its reply.
    pub fn say(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes());
        self.reply()
    }

    /// Says a command and wants a reply that starts so.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn expect(&mut self, command: &str, reply: &str) -> String {
        let got = self.say(command);
        assert!(got.starts_with(reply), "{command}: wanted {reply}, got {got}");
        got
    }

    /// Reads to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.octet()).collect()
    }
}

//! A client under TLS, and the certificate of the server that it talks to.

use crate::smtp::Client;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("corpus/tls")
}

/// Lines of main.cf: the server offers STARTTLS with the certificate of `corpus/tls`.
///
/// # Panics
/// When the folder cannot be written.
#[must_use]
pub fn server_lines(folder: &Path) -> String {
    copy_certificate(folder);
    let folder = folder.display();
    format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {folder}/ed25519.cert.pem\n\
         smtpd_tls_key_file = {folder}/ed25519.key.pem\n"
    )
}

/// Puts the certificate of `corpus/tls` and its key into a folder of the daemon's.
///
/// # Panics
/// When the folder cannot be written.
pub fn copy_certificate(folder: &Path) {
    let (uid, gid) = crate::daemon::owner();
    for name in ["ed25519.cert.pem", "ed25519.key.pem"] {
        std::fs::copy(corpus().join(name), folder.join(name)).expect("a scratch folder");
        std::os::unix::fs::chown(folder.join(name), Some(uid), Some(gid)).expect("our own file");
    }
}

/// A scripted server's side of a connection under TLS: who reads and who writes share it.
#[derive(Clone)]
pub(crate) struct Accepted(Rc<RefCell<StreamOwned<ServerConnection, TcpStream>>>);

impl Read for Accepted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

impl Write for Accepted {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

/// The server's side of a handshake, with the certificate of `corpus/tls`.
///
/// # Errors
/// The client does not shake hands.
pub(crate) fn accept(mut stream: TcpStream) -> std::io::Result<Accepted> {
    let chain = CertificateDer::from_pem_file(corpus().join("ed25519.cert.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(corpus().join("ed25519.key.pem")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows the versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("the key is the certificate's");
    let mut connection = ServerConnection::new(Arc::new(config)).expect("a server");
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(Accepted(Rc::new(RefCell::new(StreamOwned::new(connection, stream)))))
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

/// A connection under TLS.
pub(crate) type Secured = StreamOwned<ClientConnection, TcpStream>;

/// A session with a server that offers STARTTLS: a port of loopback, greeted.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn client(port: u16) -> Client {
    let mut client = Client::connect(port);
    assert!(client.greeting.starts_with("220 "), "{}", client.greeting);
    let offers = client.say("EHLO client.test");
    assert!(offers.contains("STARTTLS"), "{offers}");
    client
}

/// The client's side of a handshake.
pub(crate) fn handshake(stream: TcpStream) -> Secured {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring knows the versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from("mail.here.test").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut secured = StreamOwned::new(connection, stream);
    while secured.conn.is_handshaking() {
        secured.conn.complete_io(&mut secured.sock).expect("the server shakes hands");
    }
    secured
}

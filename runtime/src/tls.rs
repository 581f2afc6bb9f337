//! TLS on both sides, with rustls. Hands facts, not objects, to core.
//!
//! Opportunistic TLS takes whatever certificate it is shown (RFC 7435), and says whether it could have been trusted.

use postrider_core::mail::TlsFacts;
use postrider_core::outbound::TlsDemand;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    ClientConfig, CommonState, DigitallySignedStruct, Error, ProtocolVersion, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// What a client may call our protocol, if it names any (ALPN, RFC 7301). One that speaks another is an HTTP client that somebody has led here, and
/// gets the alert `no_application_protocol`.
const SPOKEN: [&[u8]; 2] = [b"smtp", b"esmtp"];

/// The server's side: certificate and key in PEM.
///
/// # Errors
/// What is wrong with them.
pub fn server_config(
    provider: &Arc<CryptoProvider>,
    chain: &[u8],
    key: &[u8],
) -> Result<Arc<ServerConfig>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("no certificate could be read: {error}"))?;
    if certificates.is_empty() {
        return Err("it has no CERTIFICATE section".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("no private key could be read: {error}"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| format!("certificate and key do not fit: {error}"))?;
    config.alpn_protocols = SPOKEN.map(<[u8]>::to_vec).into();
    Ok(Arc::new(config))
}

/// The client's side.
#[derive(Debug, Clone)]
pub struct Client {
    config: ClientConfig,
    provider: Arc<CryptoProvider>,
    roots: Option<Arc<WebPkiServerVerifier>>,
}

impl Client {
    /// With trusted roots in PEM (`smtp_tls_CAfile`, the files of `smtp_tls_CApath`); none is fine, then nobody is trusted.
    ///
    /// # Errors
    /// A root can not be read.
    pub fn new(provider: &Arc<CryptoProvider>, roots: &[Vec<u8>]) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for file in roots {
            for certificate in CertificateDer::pem_slice_iter(file) {
                let certificate =
                    certificate.map_err(|error| format!("a root could not be read: {error}"))?;
                // An odd root among a hundred is passed over, as other programs do.
                _ = store.add(certificate);
            }
        }
        let roots = if store.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
            Some(builder.build().map_err(|error| error.to_string())?)
        };
        let verifier = Opportunist::new(provider, None);
        let config = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self { config, provider: Arc::clone(provider), roots })
    }

    /// Does the handshake.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        demand: &TlsDemand,
        stream: S,
    ) -> Result<(client::TlsStream<S>, TlsFacts), String> {
        let name = match demand {
            TlsDemand::None => return Err("TLS was not asked for".to_owned()),
            TlsDemand::Opportunistic { name } | TlsDemand::Encrypt { name } => name,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']').trim_start_matches("ipv6:").to_owned();
        let server = ServerName::try_from(bare).map_err(|error| format!("{name}: {error}"))?;
        let verifier = Arc::new(Opportunist::new(&self.provider, self.roots.clone()));
        let mut config = self.config.clone();
        config.dangerous().set_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>);
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(server, stream).await.map_err(|error| error.to_string())?;
        let facts = facts(stream.get_ref().1, verifier.trusted.load(Ordering::Relaxed));
        Ok((stream, facts))
    }
}

/// Does the server's handshake.
///
/// # Errors
/// Why it failed.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Arc<ServerConfig>,
    stream: S,
) -> Result<(server::TlsStream<S>, TlsFacts), String> {
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    let stream = acceptor.accept(stream).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "lost connection".to_owned(),
        _ => error.to_string(),
    })?;
    let facts = facts(stream.get_ref().1, false);
    Ok((stream, facts))
}

fn facts(state: &CommonState, trusted: bool) -> TlsFacts {
    let cipher = state.negotiated_cipher_suite().map(|suite| suite.suite());
    let cipher = cipher.and_then(|suite| suite.as_str()).unwrap_or_default().replace("TLS13_", "TLS_");
    let protocol = match state.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLS",
    };
    let cipher_bits = if cipher.contains("128") { 128 } else { 256 };
    TlsFacts { protocol: protocol.to_owned(), cipher, cipher_bits, trusted, peer_name: None }
}

/// Takes any certificate, and remembers whether it could have been trusted. Signatures are checked all the same:
/// the peer holds the key of what it shows.
#[derive(Debug)]
struct Opportunist {
    provider: Arc<CryptoProvider>,
    roots: Option<Arc<WebPkiServerVerifier>>,
    trusted: AtomicBool,
}

impl Opportunist {
    fn new(provider: &Arc<CryptoProvider>, roots: Option<Arc<WebPkiServerVerifier>>) -> Self {
        Self { provider: Arc::clone(provider), roots, trusted: AtomicBool::new(false) }
    }
}

impl ServerCertVerifier for Opportunist {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.roots.as_ref().map(|roots| {
            roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        });
        self.trusted.store(matches!(verdict, Some(Ok(_))), Ordering::Relaxed);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
